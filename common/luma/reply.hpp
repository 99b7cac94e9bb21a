#pragma once

// What an upstream says about a Luma job, whichever dialect it speaks: the official shape (`assets`), the web
// app's
// (`video.download_url`), a mixture, one wrapped in an array or in a code/message/data envelope.

#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/engine/job.hpp"

namespace relay::luma {

struct parsed_reply {
  job reported;
  const json::object* body =
      nullptr;  // the flat object inside whatever wrapped it; null: there is an id alone
};

/// Points into `reply`. Errors: upstream_unavailable when the value holds no object that looks like a job (no
/// id and no state).
result<parsed_reply> parse_reply(const json::value& reply);

/// The flat object of a reply, which points into it; null when it holds none.
const json::object* body_of(const json::value& reply);

/// What a text reports. Errors: as parse_reply.
result<job> parse_job(std::string_view text);

/// The same, with what it shows of the request: the official API's echo, or the fields that stations put
/// beside the job. Errors: as parse_reply, and when it has no usable id.
result<listed_job> parse_listed(std::string_view text);

/// True if `shown`, what an upstream shows of a request, has this prompt, or none at all.
bool same_prompt(std::string_view sent, const json::object& shown);

/// The word an upstream uses for a state; `unknown` for a word we have never seen, which is never a failure.
job_state job_state_from(std::string_view word);

/// See protocol::error_text. Reads FastAPI's `detail` in its three forms, OpenAI's `error`, and `message`.
std::string error_text(int status, std::string_view body);

}  // namespace relay::luma
