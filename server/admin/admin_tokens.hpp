#pragma once

// Who may call the admin API over TCP. Loop thread.

#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/engine/audit.hpp"

namespace relay {

/// Who calls.
struct admin_identity {
  std::string name;
  admin_role role = admin_role::viewer;
  bool is_local = false;  // by the Unix socket, or the command that has the database
};
/// A user that can open the socket, or the database: their file modes say which.
admin_identity local_identity();

/// In memory as they are on disk.
class admin_tokens {
 public:
  /// All of them; those that are revoked are left out.
  void set(std::vector<admin_token> all) {
    std::erase_if(all, [](const admin_token& t) { return t.revoked(); });
    all_ = std::move(all);
  }
  /// Errors: unauthorized.
  result<admin_identity> authenticate(std::string_view authorization, timestamp now) const;

 private:
  std::vector<admin_token> all_;
};

}  // namespace relay
