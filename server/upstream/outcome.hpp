#pragma once

// What an upstream's answer to a create means: the most expensive decision of the relay, in one pure
// function. DESIGN rule M2: a request may go out again only when certainly no job exists.

#include <string>
#include <string_view>

#include "common/engine/lifecycle.hpp"
#include "server/upstream/upstream.hpp"

namespace relay {

struct submit_outcome {
  enum class kind : std::uint8_t {
    accepted,     // the upstream has the job
    rejected,     // the request's own fault; final
    unavailable,  // certainly no job: another upstream, or later
    unknown,      // bytes left and no usable answer: never again
  } what;
  task_event event;
  std::string note;             // for the operator
  bool whole_upstream = false;  // the trouble is not this task's alone: nothing more goes there for a while
  milliseconds hold_off{0};     // at least so long, if the upstream says
};

std::string_view name_of(submit_outcome::kind k);

submit_outcome classify_submit(const exchange& x);

/// What an answer to a question means: `polled`, or `poll_failed`.
struct poll_outcome {
  task_event event;
  std::string_view name;     // for the metric: "ok", "not_found", "error"
  std::string note;          // for the operator; empty when all is well
  milliseconds hold_off{0};  // no more questions to this upstream for so long
};

poll_outcome classify_poll(const exchange& x);

/// The client's text for an upstream's refusal: the upstream's own words when its JSON has some, and nothing
/// that could hold a secret of ours.
std::string refusal_text(int status, std::string_view body);

}  // namespace relay
