#pragma once

// Which upstream gets a job. Pure.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>

#include "common/luma/outgoing.hpp"
#include "common/base/time.hpp"

namespace relay {

/// An upstream as the choice sees it: its limits, those of the configuration and those it has shown.
struct lane {
  std::string name;
  protocol speaks = protocol::luma;
  std::int64_t max_in_flight = 256;  // submissions at once
  std::int64_t max_open = 0;         // jobs at once; 0: no limit of ours
  std::int64_t per_minute = 0;       // submissions in any minute; 0: no limit of ours

  std::int64_t in_flight = 0;
  std::int64_t open = 0;  // jobs it has or may have, those in flight included
  std::int64_t window =
      1'000'000;                 // submissions at once, as learned: 1 after trouble, doubled by each success
  int troubles = 0;              // in a row
  timestamp not_before;          // left alone until then
  std::deque<timestamp> recent;  // submissions of the last minute, when there is a limit on them
  bool wanted = false;           // a task that is due waits for it: new ones queue behind

  bool can_take(timestamp now) const {
    return in_flight < std::min(max_in_flight, window) && (max_open == 0 || open < max_open) &&
           now >= not_before && !(per_minute > 0 && used_up(now));
  }
  /// A submission begins.
  void started(timestamp now);
  /// It does not, after all.
  void taken_back();
  /// It answered as an upstream that is well.
  void well();
  /// It asked to be left alone, cannot be reached, or its answer was lost: nothing goes there for
  /// `at_least`, and for `first` doubled each time in a row up to `most`; then one submission tries. Returns
  /// how long.
  milliseconds troubled(timestamp now, milliseconds at_least, milliseconds first, milliseconds most);
  /// When more can be taken without a slot becoming free; `never`: now.
  timestamp opening(timestamp now) const;

 private:
  bool used_up(timestamp now) const;
};

/// True if the lane could take the task at some time: its protocol can, and the task is not pinned elsewhere.
bool serves(const lane& l, const task& t);

/// The first, in the order of the configuration, that can take the task now; the one that could not take it
/// the last time comes last; for a pinned task only its own.
std::optional<std::size_t> choose(std::span<const lane> lanes, const task& t, timestamp now);

/// When it is worth asking again: the earliest opening in the future; `never` when only a free slot helps.
timestamp next_opening(std::span<const lane> lanes, timestamp now);

}  // namespace relay
