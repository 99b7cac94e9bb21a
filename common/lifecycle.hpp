#pragma once

// The life of a task: the only place where one changes state. `advance` is pure and total: every state and
// every event is defined, most pairs as "unchanged". Retry, back-off, expiry and giving up are all here.

#include <string>
#include <variant>

#include "common/job.hpp"
#include "common/task.hpp"

namespace relay {

/// How patient the relay is. Filled from [submit] and [poll] in the configuration.
struct policy {
  milliseconds submit_deadline{900'000};  // a pending task that no upstream took fails after this
  milliseconds submit_retry{1'000};       // first delay after an upstream could not take it; doubles
  milliseconds submit_retry_max{30'000};
  milliseconds poll_interval{3'000};
  milliseconds poll_retry_max{60'000};   // longest delay after polls without an answer
  milliseconds job_deadline{3'600'000};  // an accepted job that has not ended by then fails
  milliseconds late_interval{600'000};   // how often a job that missed its deadline is asked about,
  milliseconds late_for{86'400'000};     // and how long: a late success is still recorded
  int not_found_limit = 5;               // 404s in a row before the job counts as gone
};

namespace event {

/// An upstream was chosen; saved before the first byte leaves.
struct submit_started {
  std::string upstream;
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
/// Certainly no job exists: it may be handed out again, not before `retry_after`.
struct unavailable {
  milliseconds retry_after{0};
};
/// Bytes left and no usable answer came: never handed out again.
struct outcome_unknown {};
/// Found in `submitting` by a new process: the old one died before it knew.
struct interrupted {};
/// Nobody took it in time.
struct submit_expired {};
struct polled {
  job said;
  std::string reply;
};
struct poll_failed {
  bool not_found = false;
  milliseconds retry_after{0};
};

}  // namespace event

using task_event = std::variant<event::submit_started, event::accepted, event::rejected, event::unavailable,
                                event::outcome_unknown, event::interrupted, event::submit_expired,
                                event::polled, event::poll_failed>;

/// The task after the event, or an equal one when the event means nothing in its state. `jitter` in [0, 1).
/// Does not touch `revision`.
task advance(task t, const task_event& e, timestamp now, const policy& p, double jitter);

}  // namespace relay
