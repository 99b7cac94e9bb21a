#pragma once

// Signatures of callbacks to clients: Standard Webhooks (standardwebhooks.com) 1.0.0. An HMAC-SHA256 (RFC
// 2104) over the message's id, the time of the attempt and the body, with the secret of the client's token.

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/secret.hpp"

namespace relay {

inline constexpr std::size_t webhook_secret_bytes = 32;

/// `whsec_` and base64 (RFC 4648 §4) of the secret's bytes: what a client gives to its verifier.
std::string webhook_secret_text(const secret& bytes);

/// The value of `webhook-signature`: `v1,` and base64 of the HMAC over `id.seconds.body`.
/// Throws std::runtime_error if OpenSSL has no HMAC.
std::string webhook_signature(const secret& bytes, std::string_view id, std::int64_t unix_seconds,
                              std::string_view body);

}  // namespace relay
