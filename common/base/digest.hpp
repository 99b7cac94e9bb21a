#pragma once

// SHA-256 (FIPS 180-4), for texts that are compared but never stored: tokens, idempotency keys, requests.

#include <array>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace relay {

using sha256_digest = std::array<unsigned char, 32>;

/// Any thread. Throws std::runtime_error if OpenSSL has no SHA-256.
sha256_digest sha256(std::string_view text);

/// The digest of a text that comes in parts. Throws as sha256().
class sha256_stream {
 public:
  sha256_stream();
  ~sha256_stream();
  void feed(std::string_view part);
  /// Once.
  sha256_digest finish();

 private:
  evp_md_ctx_st* const state_;
};

/// HMAC-SHA256 (RFC 2104). Throws as sha256().
sha256_digest hmac_sha256(std::string_view key, std::string_view text);

/// 64 hexadecimal digits, lower case.
std::string hex_of(const sha256_digest& d);

/// Constant time.
bool same_digest(const sha256_digest& a, const sha256_digest& b);
/// In a time that tells the lengths and no more.
bool same_text(std::string_view a, std::string_view b);

}  // namespace relay
