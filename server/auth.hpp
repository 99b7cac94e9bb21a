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

class token_registry {
 public:
  /// Called after a token was removed.
  std::function<void()> on_removed = [] {};

  void add(const token& t);
  void remove(const token& t);

  /// The token of an Authorization header. Errors: unauthorized.
  result<const token*> authenticate(std::string_view authorization) const;
  /// False once it is revoked.
  bool in_force(const token& t) const { return by_digest_.contains(t.digest); }
  std::size_t size() const { return by_digest_.size(); }

 private:
  struct digest_hash {
    std::size_t operator()(const sha256_digest& d) const;
  };
  std::unordered_map<sha256_digest, token, digest_hash> by_digest_;
};

}  // namespace relay
