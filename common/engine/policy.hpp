#pragma once

// The engine's limits in time and number, as plain values; filled from [submit], [poll] and [callbacks] of
// the configuration.

#include <cstdint>
#include <vector>

#include "common/base/time.hpp"
#include "common/engine/action.hpp"

namespace relay {

/// What happens to a job when it is not known whether the upstream created it. It is looked up in the
/// upstream's list in every case, and followed when it is found.
enum class on_ambiguous : std::uint8_t {
  prove,     // submitted again only when its absence is proven, else it fails
  fail,      // never submitted again
  resubmit,  // submitted again when it is not found, proven or not: it may be billed twice
};

struct policy {
  milliseconds submit_deadline{900'000};  // a pending task that no upstream accepted fails after this
  milliseconds submit_retry{1'000};       // first delay after an upstream could not take it; doubles
  milliseconds submit_retry_max{30'000};
  on_ambiguous ambiguous = on_ambiguous::prove;
  milliseconds settle{60'000};  // a job that is not in the list this long after its attempt is not there
  milliseconds reconcile_retry{2'000};  // first delay before it is looked up again; doubles
  milliseconds reconcile_retry_max{30'000};
  milliseconds reconcile_for{900'000};  // what is neither found nor proven absent by then fails
  milliseconds poll_interval{3'000};
  milliseconds poll_retry_max{60'000};  // longest delay after polls without a response
  milliseconds job_deadline{0};  // an accepted job that has not ended by then fails; 0: the action's own
  milliseconds late_interval{600'000};  // how often a job that missed its deadline is polled,
  milliseconds late_for{86'400'000};    // and how long: a late success is still recorded
  int not_found_limit = 5;              // 404s in a row before the job counts as gone,
  milliseconds not_found_for{180'000};  // and the time they must span
  bool remove_at_upstream = false;      // what its client deleted is deleted there too, after its end
  /// Delays between the attempts of one callback; the schedule of Standard Webhooks. After the last it is
  /// given up.
  std::vector<milliseconds> callback_retries{
      milliseconds{5'000},      milliseconds{300'000},    milliseconds{1'800'000},
      milliseconds{7'200'000},  milliseconds{18'000'000}, milliseconds{36'000'000},
      milliseconds{50'400'000}, milliseconds{72'000'000}, milliseconds{86'400'000}};
};

/// Between two attempts to delete a job at its upstream.
inline constexpr milliseconds longest_removal_delay{3'600'000};

/// How long an accepted job of this kind may take.
milliseconds job_deadline(const policy& p, const action* a);

/// The longest delays a schedule can have: what lies further ahead was written by a clock that has been set
/// back since (rule F5).
struct schedule_limits {
  milliseconds submit, poll, reconcile, callback, remove, submit_deadline, job_deadline, late_for;
};
/// `longest_job`: the longest deadline that any action has of its own.
schedule_limits limits_of(const policy& p, milliseconds longest_job);

}  // namespace relay
