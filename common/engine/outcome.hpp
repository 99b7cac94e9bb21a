#pragma once

// What an upstream's response to a create means: the most expensive decision of the relay, in one pure
// function. Rule M2: a request may go out again only when certainly no job exists.

#include <string>
#include <string_view>

#include "common/engine/events.hpp"
#include "common/engine/exchange.hpp"
#include "common/engine/protocol.hpp"

namespace relay {

struct submit_outcome {
  enum class kind : std::uint8_t {
    accepted,     // the upstream has the job
    rejected,     // the request's own fault; final
    unavailable,  // certainly no job: another upstream, or later
    unknown,      // bytes left and no usable response: never again
  } what;
  task_event event;             // without its attempt_id
  std::string note;             // for the operator
  bool whole_upstream = false;  // the failure is not this task's alone: the upstream gets a cool-down
  milliseconds cool_down{0};    // at least so long, if the upstream says
  int account_refusals = 0;     // the key or its credits are the cause, or, a hint only, its rights
};

std::string_view name_of(submit_outcome::kind k);

submit_outcome classify_submit(const exchange& x, const protocol& p);

/// The same event for one attempt: the other ends of submissions mean nothing to a task that has begun
/// another.
task_event for_attempt(task_event e, const std::string& attempt_id);

/// What a response to a poll means: `polled`, or `poll_failed`.
struct poll_outcome {
  task_event event;
  std::string_view name;      // for the metric: "ok", "not_found", "error"
  std::string note;           // for the operator; empty on success
  milliseconds cool_down{0};  // no more polls of this upstream for so long
};

poll_outcome classify_poll(const exchange& x, const protocol& p);

}  // namespace relay
