#pragma once

// What operators change, and who they are: tokens of the admin API, and a row for each change that was made.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/digest.hpp"
#include "common/base/time.hpp"

namespace relay {

/// What an admin token may do; each may do what those before it may.
enum class admin_role : std::uint8_t { viewer, operator_, owner };
inline constexpr admin_role all_admin_roles[] = {admin_role::viewer, admin_role::operator_,
                                                 admin_role::owner};
std::string_view name_of(admin_role r);
std::optional<admin_role> admin_role_from(std::string_view name);

inline constexpr std::string_view admin_token_prefix = "luma-relay-admin-";

/// A row of the table of admin tokens.
struct admin_token {
  std::int64_t id = 0;
  std::string name;  // unique among those that are not revoked; as valid_token_name()
  admin_role role = admin_role::viewer;
  sha256_digest digest{};
  std::string hint;  // the last four characters
  timestamp created_at;
  timestamp expires_at;  // never: it does not
  timestamp revoked_at;  // never: it was not

  bool revoked() const { return is_set(revoked_at); }
  bool in_force(timestamp now) const { return !revoked() && (!is_set(expires_at) || now < expires_at); }
  friend bool operator==(const admin_token&, const admin_token&) = default;
};

/// A change, as it is written in the same transaction.
struct audit_entry {
  std::string made_by;        // the name of an admin token; or of the Unix socket
  std::string operation;      // operationId in the API's description
  std::string target;         // such as "account/acme"
  std::string before, after;  // JSON without secrets; empty: nothing was there, or is
  std::string request_id;
  std::string idempotency_key;  // one request of its kind of the same maker; empty: none
  sha256_digest request{};      // what the key stands for
  timestamp at;

  friend bool operator==(const audit_entry&, const audit_entry&) = default;
};
/// Null: a change that no operator made.
using audit_ptr = std::shared_ptr<const audit_entry>;

struct audit_row {
  std::int64_t id = 0;  // rises
  audit_entry entry;
};

/// What a request was answered with, without its secrets.
struct kept_response {
  std::int64_t status = 0;
  std::string body, etag, location;

  friend bool operator==(const kept_response&, const kept_response&) = default;
};

/// A request with an idempotency key that was begun, and as a rule carried out.
struct carried_out {
  std::int64_t id = 0;  // audit_row::id
  sha256_digest request{};
  std::string operation, target, request_id;  // of that row
  kept_response response;                     // status 0: it was not kept
};

}  // namespace relay
