#pragma once

// Who is calling: accounts, and their tokens that are not revoked, in memory. A token stops working with the
// commit of its revocation, an account with the commit that disables it, without a restart. Loop thread.

#include <array>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/addresses.hpp"
#include "common/base/error.hpp"
#include "common/base/secret.hpp"
#include "common/engine/account.hpp"
#include "common/engine/token.hpp"

namespace relay {

/// A token, and the account it belongs to, as they were when they were looked up.
struct caller {
  token with;  // `digest` is that of the secret that was sent
  account_ptr who;
  address_set from;  // the addresses it may be used from, if there are any
  /// The last day on which its use was noted.
  mutable std::int32_t used_on = 0;
};
using caller_ptr = std::shared_ptr<const caller>;

/// The answer to a key that is no token in force.
error invalid_key();

class account_registry {
 public:
  /// Called after something stopped to be in force.
  std::function<void()> on_ended = [] {};

  /// A new account, or one that has changed; its tokens follow. One that is older than what is known is left
  /// alone.
  void put(const account& a);
  /// A token of an account that is known.
  void add(const token& t);
  void remove(const token& t);
  /// All tokens of an account, as they are on disk.
  void set_tokens(std::int64_t account, const std::vector<token>& all);

  /// Whose the token of an Authorization header is. Errors: unauthorized.
  result<caller_ptr> authenticate(std::string_view authorization, timestamp now);
  /// False once the token is revoked or has expired, its secret was replaced, or the account is disabled.
  bool in_force(const caller& c, timestamp now) const;
  /// Uses from now on are of this day (day_of()).
  void set_day(std::int32_t day) { today_ = day; }
  std::int32_t day() const { return today_; }
  /// Tokens that were used for the first time on their day, since the last call.
  std::vector<std::int64_t> take_used() { return std::exchange(used_, {}); }

  /// Some token of this account works.
  bool in_force(std::int64_t account, timestamp now) const;
  /// Null when there is none.
  account_ptr find(std::int64_t account) const;
  /// Those with the smallest numbers, in their order.
  std::vector<account_ptr> first(std::size_t how_many) const;
  bool has_tokens() const { return !by_digest_.empty(); }

 private:
  struct digest_hash {
    std::size_t operator()(const sha256_digest& d) const;
  };
  /// A secret that was sent of late, and whose it is: SHA-256 is not worked out for each request.
  struct recent {
    secret sent;
    caller_ptr by;
  };
  static constexpr std::size_t max_recent = 256;
  recent& recent_for(std::string_view key);
  caller_ptr find(std::string_view key) const;
  void note_use(const caller& c);
  void forget_recent();

  std::unordered_map<std::int64_t, account_ptr> accounts_;
  // By each secret that works, or did until `old_ends_at`.
  std::unordered_map<sha256_digest, caller_ptr, digest_hash> by_digest_;
  std::int32_t today_ = 0;
  std::vector<std::int64_t> used_;  // tokens, since they were taken
  std::vector<recent> recent_;      // by a hash that others cannot work out; empty until the first
  std::array<char, 16> salt_{};     // of that hash
};

}  // namespace relay
