#pragma once

// Callbacks to clients as messages: Standard Webhooks (standardwebhooks.com) 1.0.0. Each message has an id
// that stays the same over retries, the time of the attempt, and an HMAC-SHA256 over both and the body with
// the secret of the client's token.

#include <string>
#include <string_view>

#include "common/base/secret.hpp"
#include "common/engine/task.hpp"

namespace relay {

inline constexpr std::size_t webhook_secret_bytes = 32;

/// `whsec_` and base64 (RFC 4648 §4) of the secret's bytes: what a client gives to its verifier.
std::string webhook_secret_text(const secret& bytes);

/// Of the oldest callback that the task owes: `msg_<task>_<number>`.
std::string message_id(const task& t);

/// The task as the oldest callback owed tells it. When it has moved on since, what came later is left out, so
/// that every attempt carries the same message.
task as_told(const task& t);

/// The value of `webhook-signature`: `v1,` and base64 of the HMAC over `id.seconds.body`.
/// Throws std::runtime_error if OpenSSL has no HMAC.
std::string sign(const secret& bytes, std::string_view id, std::int64_t unix_seconds, std::string_view body);

}  // namespace relay
