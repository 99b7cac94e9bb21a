#pragma once

// What an upstream said about a job, whichever dialect it speaks: the official shape (`assets`), the web
// app's
// (`video.download_url`), a mixture, one wrapped in an array or in a code/message/data envelope.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/json.hpp"

namespace relay {

enum class job_state : std::uint8_t { queued, dreaming, completed, failed, unknown };

struct job {
  std::string id;  // letters, digits and -._~: only, at most 200; empty when there is no such id
  job_state state = job_state::unknown;
  std::string failure_reason;
  std::optional<int> progress;  // percent, 0 to 100
  bool has_link = true;         // something of the result can be fetched
  json::object body;            // the flat object inside whatever wrapped it
};

/// The word an upstream uses for a state; `unknown` for a word we have never seen, which is never a failure.
job_state job_state_from(std::string_view word);

/// Errors: upstream_unavailable when the value holds no object that looks like a job (no id and no state).
result<job> parse_job(const json::value& reply);

/// The same from text.
result<job> parse_job_text(std::string_view reply);

}  // namespace relay
