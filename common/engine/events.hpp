#pragma once

// What can happen to a task. Only `advance` (lifecycle.hpp) knows what it means in which state.

#include <string>
#include <variant>

#include "common/engine/job.hpp"

namespace relay {
namespace event {

/// An upstream was chosen; saved before the first byte leaves.
struct submit_started {
  std::string upstream;
  std::string marker;        // empty: the upstream gets no callback URL
  std::string attempt_id{};  // UUIDv7
  std::string submitter{};   // instance id of this process
};

// The ends of a submission. Each belongs to one attempt: when the task has begun another since, it means
// nothing.

struct accepted {
  job reported;
  std::string reply;
  std::string attempt_id{};
};
/// The request itself is at fault; final.
struct rejected {
  int status = 400;
  std::string message;
  std::string attempt_id{};
  bool was_sent = true;  // else it is this relay that cannot send it
};
/// Certainly no job exists: it may be submitted again.
struct unavailable {
  milliseconds retry_after{0};
  /// It is not this task's alone, or another upstream may take it: the task keeps its place, for the others
  /// or for later.
  bool keeps_place = false;
  std::string attempt_id{};
  bool accounts_refused = false;  // each upstream that could take it refuses the relay's key
  std::string note{};             // why, for its story
};
/// Bytes left and no usable response came: looked up in the upstream's list.
struct outcome_unknown {
  std::string attempt_id{};
  std::string note{};  // how it was lost, for its story
};
/// Found in `submitting`, left there by a process that ended before it knew: the same.
struct interrupted {
  std::string attempt_id{};
};

/// The upstream's list shows the job.
struct found {
  job reported;
  std::string reply;
};
/// The list of this upstream shows the job of a held task; `marker`: as in its callback URL.
struct found_held {
  std::string upstream;
  std::string marker;
  job reported;
  std::string reply;
};
/// An operator lets a held task go out.
struct released {};
/// The list, requested at `requested_at`, does not show it. `would_show`: it shows all that is as new.
struct absent {
  timestamp requested_at;
  bool would_show = false;
};
/// The list gave no usable response. `no_list`: this upstream has none; its own callback may still name the
/// job.
struct lookup_failed {
  bool no_list = false;
  milliseconds retry_after{0};
  std::string note{};  // why, for its story
};

/// No upstream accepted it in time.
struct submit_expired {
  bool accounts_refused = false;  // because each that could have refuses the relay's key
};
/// An operator ended it before it was submitted.
struct cancelled {};
/// Its client does not want to see it any more.
struct deleted {};
/// The upstream has it no more.
struct removed {};
/// It did not say so.
struct removal_failed {};

struct polled {
  job reported;
  std::string reply;
};
struct poll_failed {
  /// The upstream says that it does not know the job, while it knows others.
  bool not_found = false;
  /// The upstream's list, where it has one, was looked at, and it does not show the job either. Without this
  /// no 404 ends a job, however many came before.
  bool confirmed = false;
  milliseconds retry_after{0};
  std::string note{};  // why, for its story
};

/// The upstream called about it: it is polled, or looked up, at once.
struct called {};

/// Of a completed job: the upstream was asked again, and named its files anew.
struct links_renewed {
  job reported;
  std::string reply;
};
/// The same, but it does not know the job any more.
struct links_lost {};

/// The callback with this number (task::callbacks_done when it was sent) was accepted.
struct delivered {
  int number = 0;
};
/// It was not. One that something newer follows is dropped.
struct delivery_failed {
  std::string problem;
  bool gone = false;  // 410: no more callbacks for this task
  milliseconds retry_after{0};
  int number = 0;
};
/// An operator wants the callback sent again: the oldest pending one at once, or the last state once more.
struct callback_requested {};

}  // namespace event

using task_event =
    std::variant<event::submit_started, event::accepted, event::rejected, event::unavailable,
                 event::outcome_unknown, event::interrupted, event::found, event::found_held, event::released,
                 event::absent, event::lookup_failed, event::submit_expired, event::cancelled, event::deleted,
                 event::removed, event::removal_failed, event::polled, event::poll_failed, event::called,
                 event::links_renewed, event::links_lost, event::delivered, event::delivery_failed,
                 event::callback_requested>;

}  // namespace relay
