#pragma once

// Creates that may arrive more than once (rule M3): those with an Idempotency-Key
// (draft-ietf-httpapi-idempotency-key-header-07), and those of SDKs that count their retries but send no key.
// Pure.

#include <optional>
#include <string>
#include <string_view>

#include "common/base/digest.hpp"
#include "common/base/error.hpp"
#include "common/base/time.hpp"

namespace relay {

inline constexpr std::chrono::hours keys_kept{24};
/// An SDK sends again when its time-out is over, and after a pause of a minute at most (Retry-After).
inline constexpr std::chrono::seconds sdk_timeout{60};  // unless its header fields say another
inline constexpr std::chrono::seconds sdk_pause{60};
inline constexpr std::chrono::hours longest_sdk_timeout{1};

/// Written in the transaction of the task that it names; looked up by each create that carries the same.
struct idempotency_record {
  enum class kind : std::uint8_t {
    key,    // the create carries an Idempotency-Key
    retry,  // it comes from an SDK that counts its own retries
  } what = kind::key;
  sha256_digest digest{};     // of the key, or of the request
  sha256_digest request{};    // of the request
  int retries = 0;            // the SDK's count: 0 for the first send
  bool stands_alone = false;  // it is known to repeat no send that was recorded
  timestamp since;            // what was recorded before is forgotten
};

/// What a create's header fields and request say. Text outside of a request is empty.
struct idempotency_headers {
  std::size_t keys = 0;          // number of Idempotency-Key fields
  std::string_view key;          // the value
  std::string_view retry_count;  // x-stainless-retry-count
  std::string_view timeout;      // x-stainless-timeout or x-stainless-read-timeout, seconds
};

/// How the client marked a create; nullopt: not at all. `request`: path and body. Errors: invalid_request for
/// a key that is none.
result<std::optional<idempotency_record>> idempotency_of(const idempotency_headers& h,
                                                         std::string_view request, timestamp now);

/// 422: the key was used with another request.
error key_reused();

}  // namespace relay
