#pragma once

// SHA-256 (FIPS 180-4), for texts that are compared but never stored: tokens, idempotency keys, requests.

#include <array>
#include <string_view>

namespace relay {

using sha256_digest = std::array<unsigned char, 32>;

/// Any thread. Throws std::runtime_error if OpenSSL has no SHA-256.
sha256_digest sha256(std::string_view text);

/// Constant time.
bool same_digest(const sha256_digest& a, const sha256_digest& b);
/// In a time that tells the lengths and no more.
bool same_text(std::string_view a, std::string_view b);

}  // namespace relay
