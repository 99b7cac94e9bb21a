#include "common/engine/submit_lane.hpp"

#include "common/base/backoff.hpp"

namespace relay {
namespace {

constexpr std::chrono::minutes rate_window{1};

}  // namespace

bool submit_lane::used_up(timestamp now) const {
  // The oldest of the last `per_minute` is still within the minute.
  return std::ssize(recent) >= per_minute &&
         recent[static_cast<std::size_t>(std::ssize(recent) - per_minute)] > now - rate_window;
}

void submit_lane::begin(timestamp now) {
  ++in_flight;
  if (per_minute == 0) return;
  recent.push_back(now);
  while (std::ssize(recent) > per_minute) recent.pop_front();
}

void submit_lane::take_back() {
  --in_flight;
  if (per_minute > 0 && !recent.empty()) recent.pop_back();
}

void submit_lane::success() {
  failures = 0;
  window = std::min<std::int64_t>(std::max<std::int64_t>(window, 1) * 2, 1'000'000);
}

milliseconds submit_lane::failure(timestamp now, milliseconds at_least, milliseconds first,
                                  milliseconds max) {
  const milliseconds pause = std::max(at_least, backoff(failures, first, max, 0));
  // Those that were in flight together are one failure.
  if (now >= cool_down_until) ++failures;
  window = 1;
  cool_down_until = std::max(cool_down_until, now + pause);
  return pause;
}

timestamp submit_lane::next_available(timestamp now) const {
  timestamp at = std::max(now, cool_down_until);
  if (per_minute > 0 && used_up(now)) {
    at = std::max(at, recent[static_cast<std::size_t>(std::ssize(recent) - per_minute)] + rate_window);
  }
  return at;
}

bool serves(const submit_lane& l, const task& t) {
  return (!t.pinned || t.upstream == l.name) && (l.speaks == nullptr || l.speaks->can_serve(t));
}

std::optional<std::size_t> choose(std::span<const submit_lane> lanes, const task& t, timestamp now) {
  std::optional<std::size_t> again;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (!lanes[i].can_take(now) || !serves(lanes[i], t)) continue;
    if (t.pinned || t.upstream != lanes[i].name) return i;
    again = i;  // it could not take the task the last time
  }
  return again;
}

std::optional<timestamp> next_available(std::span<const submit_lane> lanes, timestamp now) {
  std::optional<timestamp> earliest;
  for (const submit_lane& l : lanes) {
    const timestamp at = l.next_available(now);
    if (at > now && (!earliest || at < *earliest)) earliest = at;
  }
  return earliest;
}

}  // namespace relay
