#include "server/upstream/failover.hpp"

#include "common/base/backoff.hpp"

namespace relay {
namespace {

constexpr std::chrono::minutes rate_window{1};

}  // namespace

bool lane::used_up(timestamp now) const {
  // The oldest of the last `per_minute` is still within the minute.
  return std::ssize(recent) >= per_minute &&
         recent[static_cast<std::size_t>(std::ssize(recent) - per_minute)] > now - rate_window;
}

void lane::started(timestamp now) {
  ++in_flight;
  if (per_minute == 0) return;
  recent.push_back(now);
  while (std::ssize(recent) > per_minute) recent.pop_front();
}

void lane::taken_back() {
  --in_flight;
  if (per_minute > 0 && !recent.empty()) recent.pop_back();
}

void lane::well() {
  troubles = 0;
  window = std::min<std::int64_t>(std::max<std::int64_t>(window, 1) * 2, 1'000'000);
}

milliseconds lane::troubled(timestamp now, milliseconds at_least, milliseconds first, milliseconds most) {
  const milliseconds pause = std::max(at_least, backoff(troubles, first, most, 0));
  // Those that were in flight together are one trouble.
  if (now >= not_before) ++troubles;
  window = 1;
  not_before = std::max(not_before, now + pause);
  return pause;
}

timestamp lane::opening(timestamp now) const {
  timestamp at = not_before > now ? not_before : never;
  if (per_minute > 0 && used_up(now)) {
    at = std::max(at, recent[static_cast<std::size_t>(std::ssize(recent) - per_minute)] + rate_window);
  }
  return at;
}

bool serves(const lane& l, const task& t) {
  return (!t.pinned || t.upstream == l.name) && can_serve(l.speaks, t);
}

std::optional<std::size_t> choose(std::span<const lane> lanes, const task& t, timestamp now) {
  std::optional<std::size_t> again;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (!lanes[i].can_take(now) || !serves(lanes[i], t)) continue;
    if (t.pinned || t.upstream != lanes[i].name) return i;
    again = i;  // it could not take the task the last time
  }
  return again;
}

timestamp next_opening(std::span<const lane> lanes, timestamp now) {
  timestamp earliest = never;
  for (const lane& l : lanes) {
    const timestamp at = l.opening(now);
    if (is_set(at) && (!is_set(earliest) || at < earliest)) earliest = at;
  }
  return earliest;
}

}  // namespace relay
