#pragma once

// The life of a task: the only place where one changes state. `advance` is pure and total: every state and
// every event is defined, most pairs as "unchanged". Retry, back-off, expiry and giving up are all here.

#include <string>
#include <variant>
#include <vector>

#include "common/engine/job.hpp"
#include "common/engine/task.hpp"

namespace relay {

/// What becomes of a job when nobody knows whether the upstream created it. It is looked for in the
/// upstream's list in every case, and followed when it is found.
enum class on_ambiguous : std::uint8_t {
  prove,     // submitted again only when its absence is proven, else it fails
  fail,      // never submitted again
  resubmit,  // submitted again when it is not found, proven or not: it may be bought twice
};

/// How patient the relay is. Filled from [submit], [poll] and [callbacks] in the configuration.
struct policy {
  milliseconds submit_deadline{900'000};  // a pending task that no upstream took fails after this
  milliseconds submit_retry{1'000};       // first delay after an upstream could not take it; doubles
  milliseconds submit_retry_max{30'000};
  on_ambiguous ambiguous = on_ambiguous::prove;
  milliseconds settle{60'000};  // a job that is not in the list this long after its attempt is not there
  milliseconds reconcile_retry{2'000};  // first delay before it is looked for again; doubles
  milliseconds reconcile_retry_max{30'000};
  milliseconds reconcile_for{900'000};  // what is neither found nor proven absent by then fails
  milliseconds poll_interval{3'000};
  milliseconds poll_retry_max{60'000};   // longest delay after polls without an answer
  milliseconds job_deadline{3'600'000};  // an accepted job that has not ended by then fails
  milliseconds late_interval{600'000};   // how often a job that missed its deadline is asked about,
  milliseconds late_for{86'400'000};     // and how long: a late success is still recorded
  int not_found_limit = 5;               // 404s in a row before the job counts as gone
  /// Delays between the attempts of one callback; the schedule of Standard Webhooks. After the last it is
  /// given up.
  std::vector<milliseconds> callback_retries{
      milliseconds{5'000},      milliseconds{300'000},    milliseconds{1'800'000},
      milliseconds{7'200'000},  milliseconds{18'000'000}, milliseconds{36'000'000},
      milliseconds{50'400'000}, milliseconds{72'000'000}, milliseconds{86'400'000}};
};

namespace event {

/// An upstream was chosen; saved before the first byte leaves.
struct submit_started {
  std::string upstream;
  std::string marker;  // empty: the upstream gets no callback URL
};
struct accepted {
  job said;
  std::string reply;
};
/// The request itself is at fault; final.
struct rejected {
  int status = 400;
  std::string message;
};
/// Certainly no job exists: it may be handed out again.
struct unavailable {
  milliseconds retry_after{0};
  /// The upstream as a whole is left alone for a while: the task keeps its place, for the others or for
  /// later.
  bool whole_upstream = false;
};
/// Bytes left and no usable answer came: looked for in the upstream's list.
struct outcome_unknown {};
/// Found in `submitting` by a new process, when the old one died before it knew: the same.
struct interrupted {};
/// The upstream's list shows the job.
struct found {
  job said;
  std::string reply;
};
/// The list, asked for at `asked_at`, does not show it. `proven`: it would.
struct absent {
  timestamp asked_at;
  bool proven = false;
};
/// The list gave no usable answer. `for_good`: this upstream has none.
struct lookup_failed {
  bool for_good = false;
  milliseconds retry_after{0};
};
/// Nobody took it in time.
struct submit_expired {};
/// An operator ended it before it was handed out.
struct cancelled {};
struct polled {
  job said;
  std::string reply;
};
struct poll_failed {
  bool not_found = false;
  milliseconds retry_after{0};
};
/// The oldest callback owed was taken. One that was not, and that something newer follows, is dropped.
struct delivered {};
struct delivery_failed {
  std::string problem;
  bool gone = false;  // 410: no more callbacks for this task
  milliseconds retry_after{0};
};
/// An operator asks for the callback again: the oldest owed at once, or the last state told once more.
struct callback_asked {};

}  // namespace event

using task_event =
    std::variant<event::submit_started, event::accepted, event::rejected, event::unavailable,
                 event::outcome_unknown, event::interrupted, event::found, event::absent,
                 event::lookup_failed, event::submit_expired, event::cancelled, event::polled,
                 event::poll_failed, event::delivered, event::delivery_failed, event::callback_asked>;

/// The task after the event, or an equal one when the event means nothing in its state. A change to dreaming,
/// completed or failed adds a callback to what is owed. `jitter` in [0, 1). Does not touch `revision`.
task advance(task t, const task_event& e, timestamp now, const policy& p, double jitter);

}  // namespace relay
