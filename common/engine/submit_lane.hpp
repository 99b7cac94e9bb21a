#pragma once

// One upstream as a target of submissions: its limits, those of the configuration and those it has shown; and
// which upstream gets a job. Pure.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>

#include "common/base/time.hpp"
#include "common/engine/protocol.hpp"

namespace relay {

struct submit_lane {
  std::string name;                  // the upstream's
  const protocol* speaks = nullptr;  // null: any task can go there (tests)
  std::int64_t max_in_flight = 256;  // submissions at once
  std::int64_t max_open = 0;         // jobs at once; 0: no limit of ours
  std::int64_t per_minute = 0;       // submissions in any minute; 0: no limit of ours

  std::int64_t in_flight = 0;
  std::int64_t open = 0;  // jobs it has or may have, those in flight included
  std::int64_t window =
      1'000'000;              // submissions at once, as learned: 1 after a failure, doubled by each success
  int failures = 0;           // in a row
  timestamp cool_down_until;  // nothing goes there until then
  std::deque<timestamp> recent;  // submissions of the last minute, when there is a limit on them
  int account_refusals = 0;      // in a row: responses that were about the relay's key, not about a job
  bool has_waiters = false;      // a task that is due waits for it: new ones queue behind

  bool can_take(timestamp now) const {
    return in_flight < std::min(max_in_flight, window) && (max_open == 0 || open < max_open) &&
           now >= cool_down_until && !(per_minute > 0 && used_up(now));
  }
  /// A submission begins.
  void begin(timestamp now);
  /// It does not, after all.
  void take_back();
  /// True: nothing of the relay's goes there. A 403 may be about one job's model: it takes some in a row.
  bool refuses_account() const { return account_refusals >= account_refused_from; }
  static constexpr int account_refused_from = 3;
  /// It responded as an upstream that is in order.
  void success();
  /// It refused for a while, cannot be reached, or its response was lost: nothing goes there for `at_least`,
  /// and for `first` doubled each time in a row up to `max`; then one submission tries. Returns how long.
  milliseconds failure(timestamp now, milliseconds at_least, milliseconds first, milliseconds max);
  /// When time alone lets it take more: `now` when it does not wait for any time.
  timestamp next_available(timestamp now) const;

 private:
  bool used_up(timestamp now) const;
};

/// True if the upstream could take the task at some time: its protocol can, and the task is not pinned
/// elsewhere.
bool serves(const submit_lane& l, const task& t);

/// The first, in the order of the configuration, that can take the task now; the one that could not take it
/// the last time comes last; for a pinned task only its own.
std::optional<std::size_t> choose(std::span<const submit_lane> lanes, const task& t, timestamp now);

/// The earliest time after `now` at which some lane can take more; nullopt when only a free slot helps.
std::optional<timestamp> next_available(std::span<const submit_lane> lanes, timestamp now);

}  // namespace relay
