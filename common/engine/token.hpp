#pragma once

// Client tokens: 256 bits of the system's randomness behind a recognisable prefix. Only the SHA-256 of a
// token is ever stored; a fast hash is right here, because there is no weak password to guess.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/digest.hpp"
#include "common/base/secret.hpp"
#include "common/base/time.hpp"
#include "common/engine/customer_limits.hpp"

namespace relay {

inline constexpr std::string_view token_prefix = "luma-relay-";
inline constexpr std::size_t token_entropy_bytes = 32;
inline constexpr std::size_t max_token_name = 64;

/// A row of the token table.
struct token {
  std::int64_t id = 0;
  std::int64_t account = 0;  // account::id
  std::string name;          // unique among those of the account that are not revoked
  sha256_digest digest{};
  std::string hint;  // the last four characters, to tell tokens apart in a list
  timestamp created_at;
  timestamp expires_at;                // never: it does not
  timestamp revoked_at;                // never: it was not
  own_limits limits;                   // beside those of the account
  std::vector<std::string> addresses;  // from which it may be used (address_set); empty: from any
  std::int32_t last_used = 0;          // day_of() its last use; 0: it was not used

  // Of the secret that it had before its last rotation.
  sha256_digest old_digest{};
  timestamp old_ends_at;  // it works until then; never: there is none

  bool revoked() const { return is_set(revoked_at); }
  friend bool operator==(const token&, const token&) = default;
};

/// Prefix and 43 characters of base64url (RFC 4648 §5).
std::string make_token(std::span<const unsigned char, token_entropy_bytes> random,
                       std::string_view prefix = token_prefix);

/// The credential in an Authorization header: `Bearer KEY` (RFC 6750 §2.1, the scheme in any case) or a bare
/// `KEY`. Empty when there is none.
std::string_view credential(std::string_view authorization);

/// Letters, digits and `._-@`, 1 to max_token_name characters; not "." and "..".
bool valid_token_name(std::string_view name);

}  // namespace relay
