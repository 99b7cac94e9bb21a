#pragma once

// Creates that may arrive more than once (rule M3): those with an Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header-07), and those of SDKs that count their retries but send no key.

#include <optional>

#include "server/front.hpp"

namespace relay::handlers {

inline constexpr std::chrono::hours keys_kept{24};
inline constexpr std::chrono::minutes repeats_kept{10};

/// How the client marked this create; nullopt: not at all. Errors: invalid_request for a key that is none.
result<std::optional<claim>> claim_of(const call& c, timestamp time);

/// 422: the key was used with another request.
error key_taken();

}  // namespace relay::handlers
