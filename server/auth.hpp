#pragma once

// Who is calling: tokens in force, in memory. A revoked token stops working with the revocation's commit,
// without a restart. Loop thread.

#include <functional>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/base/error.hpp"
#include "common/engine/token.hpp"

namespace relay {

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
  result<const token*> authenticate(std::string_view authorization, timestamp now) const;
  /// False once it is revoked, or its secret no longer works.
  bool in_force(const token& t, timestamp now) const;
  std::size_t size() const { return by_digest_.size(); }

 private:
  struct digest_hash {
    std::size_t operator()(const sha256_digest& d) const;
  };
  // By each secret that works, or did until `old_ends_at`.
  std::unordered_map<sha256_digest, token, digest_hash> by_digest_;
};

}  // namespace relay
