#include "common/engine/token_limits.hpp"

#include <chrono>

namespace relay {
namespace {

constexpr std::chrono::minutes window{1};

std::unexpected<error> refused(std::string what, std::int64_t limit, std::string when, std::int64_t seconds) {
  auto out =
      fail(errc::rate_limited, "This API key has reached its limit of " + std::to_string(limit) + " " +
                                   std::move(what) + "; nothing was submitted. Try again " + std::move(when));
  out.error().retry_after_seconds = static_cast<int>(seconds);
  return out;
}

}  // namespace

result<create_limits::place> create_limits::admit(std::int64_t owner, task_counts::customer counted,
                                                  bool waits, timestamp now) {
  constexpr int retry_after = 5;
  const auto found = under_way_.find(owner);
  if (found != under_way_.end()) {
    counted.pending += found->second.pending;
    counted.open += found->second.open;
  }
  if (limits_.open > 0 && counted.open >= limits_.open)
    return refused("open generations", limits_.open, "when one has ended", retry_after);
  if (waits && limits_.pending > 0 && counted.pending >= limits_.pending)
    return refused("generations that wait for an upstream", limits_.pending, "when one has been submitted",
                   retry_after);
  if (limits_.creates_per_minute > 0) {
    std::deque<timestamp>& recent = recent_[owner];
    while (!recent.empty() && recent.front() <= now - window) recent.pop_front();
    if (std::ssize(recent) >= limits_.creates_per_minute) {
      const auto wait = std::chrono::ceil<std::chrono::seconds>(recent.front() + window - now);
      return refused("creates a minute", limits_.creates_per_minute,
                     "in " + std::to_string(wait.count()) + " s", wait.count());
    }
    recent.push_back(now);
  }
  task_counts::customer& mine = under_way_[owner];
  ++mine.open;
  mine.pending += waits;
  return place(this, owner, waits);
}

void create_limits::give_back(std::int64_t owner, bool waits) {
  task_counts::customer& mine = under_way_[owner];
  --mine.open;
  mine.pending -= waits;
  if (mine == task_counts::customer{}) under_way_.erase(owner);
}

}  // namespace relay
