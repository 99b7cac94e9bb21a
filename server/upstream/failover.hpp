#pragma once

// Which upstream gets a job. Pure.

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "common/outgoing.hpp"
#include "common/time.hpp"

namespace relay {

/// An upstream as the choice sees it.
struct lane {
  std::string name;
  protocol speaks = protocol::luma;
  std::int64_t max_in_flight = 256;  // submissions at once
  std::int64_t max_open = 0;         // jobs at once; 0: no limit of ours
  std::int64_t in_flight = 0;
  std::int64_t open = 0;  // jobs it has, those in flight included
  timestamp not_before;   // it asked to be left alone until then
  bool wanted = false;    // a task that is due waits for it: new ones queue behind

  bool can_take(timestamp now) const {
    return in_flight < max_in_flight && (max_open == 0 || open < max_open) && now >= not_before;
  }
};

/// True if the lane could take the task at some time: its protocol can, and the task is not pinned elsewhere.
bool serves(const lane& l, const task& t);

/// The first, in the order of the configuration, that can take the task now; the one that could not take it
/// the last time comes last; for a pinned task only its own.
std::optional<std::size_t> choose(std::span<const lane> lanes, const task& t, timestamp now);

/// When it is worth asking again: the earliest `not_before` in the future; `never` when only a free slot
/// helps.
timestamp next_opening(std::span<const lane> lanes, timestamp now);

}  // namespace relay
