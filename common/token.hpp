#pragma once

// Client tokens: 256 bits of the system's randomness behind a recognisable prefix. Only the SHA-256 of a
// token is ever stored; a fast hash is right here, because there is no weak password to guess.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "common/secret.hpp"
#include "common/time.hpp"

namespace relay {

inline constexpr std::string_view token_prefix = "luma-relay-";
inline constexpr std::size_t token_entropy_bytes = 32;
inline constexpr std::size_t max_token_name = 64;

using token_digest = std::array<unsigned char, 32>;

/// A row of the token table.
struct token {
  std::int64_t id = 0;  // owner of tasks
  std::string name;     // unique among tokens that are not revoked
  token_digest digest{};
  std::string hint;  // the last four characters, to tell tokens apart in a list
  secret webhook;    // signs the callbacks of its tasks; bytes
  timestamp created_at;
  timestamp revoked_at;  // never: in force

  bool revoked() const { return is_set(revoked_at); }
  friend bool operator==(const token&, const token&) = default;
};

/// Prefix and 43 characters of base64url (RFC 4648 §5).
std::string make_token(std::span<const unsigned char, token_entropy_bytes> random);

/// SHA-256 of the whole token text. Any thread. Throws std::runtime_error if OpenSSL has no SHA-256.
token_digest digest_token(std::string_view text);

/// Constant time.
bool same_digest(const token_digest& a, const token_digest& b);

/// The credential in an Authorization header: `Bearer KEY` (RFC 6750 §2.1, the scheme in any case) or a bare
/// `KEY`. Empty when there is none.
std::string_view credential(std::string_view authorization);

/// Letters, digits and `._-@`, 1 to max_token_name characters.
bool valid_token_name(std::string_view name);

}  // namespace relay
