#pragma once

// Who is calling: tokens in force, in memory. A revoked token stops working with the revocation's commit,
// without a restart. Loop thread.

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/secret.hpp"
#include "common/engine/token.hpp"

namespace relay {

using token_ptr = std::shared_ptr<const token>;

/// The answer to a key that is no token in force.
error invalid_key();

class token_registry {
 public:
  /// Called after a token was removed.
  std::function<void()> on_removed = [] {};

  void add(const token& t);
  void remove(const token& t);

  /// In the place of what it was before its secret was changed.
  void rotate(const token& t);

  /// The token of an Authorization header. What is returned has the digest of the secret that was sent.
  /// Errors: unauthorized.
  result<token_ptr> authenticate(std::string_view authorization, timestamp now);
  /// False once it is revoked, or its secret no longer works.
  bool in_force(const token& t, timestamp now) const;
  /// Some secret of this token works.
  bool in_force(std::int64_t id, timestamp now) const;
  std::size_t size() const { return by_digest_.size(); }

 private:
  struct digest_hash {
    std::size_t operator()(const sha256_digest& d) const;
  };
  /// A secret that was sent of late, and its token: SHA-256 is not worked out for each request.
  struct recent {
    secret sent;
    token_ptr who;
  };
  static constexpr std::size_t max_recent = 256;
  recent& recent_for(std::string_view key);
  token_ptr find(std::string_view key) const;
  void forget_recent();

  // By each secret that works, or did until `old_ends_at`.
  std::unordered_map<sha256_digest, token_ptr, digest_hash> by_digest_;
  std::vector<recent> recent_;   // by a hash that others cannot work out; empty until the first
  std::array<char, 16> salt_{};  // of that hash
};

}  // namespace relay
