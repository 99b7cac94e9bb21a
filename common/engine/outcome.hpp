#pragma once

// What an upstream's response to a create means: the most expensive decision of the relay, in one pure
// function. Rule M2: a request may go out again only when certainly no job exists.

#include <string>
#include <string_view>

#include "common/engine/events.hpp"
#include "common/engine/exchange.hpp"
#include "common/engine/protocol.hpp"

namespace relay {

/// Why an upstream did not take a job.
enum class cause : std::uint8_t {
  none,           // it did, or the request itself is at fault
  unreachable,    // no connection: certainly no job
  lost,           // bytes left and no usable response came
  key_refused,    // 401
  no_credits,     // 402
  not_allowed,    // 403
  wrong_address,  // 404, 405, 307, 308
  limited,        // 429
  no_room,        // all our connections to it were in use: it is not at fault
};
std::string_view name_of(cause c);
/// What a 429 says it is about.
enum class limit_kind : std::uint8_t { unknown, at_once, in_minute };

struct submit_outcome {
  enum class kind : std::uint8_t {
    accepted,     // the upstream has the job
    rejected,     // the request's own fault; final
    unavailable,  // certainly no job: another upstream, or later
    unknown,      // bytes left and no usable response: never again
  } what;
  task_event event;  // without its attempt_id
  std::string note;  // for the operator
  cause why = cause::none;
  milliseconds cool_down{0};  // at least so long, if the upstream says
  limit_kind limit = limit_kind::unknown;
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
