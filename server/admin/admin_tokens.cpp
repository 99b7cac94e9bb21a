#include "server/admin/admin_tokens.hpp"

#include "common/engine/token.hpp"

namespace relay {

admin_identity local_identity() {
  return {"command line", admin_role::owner, true};
}

result<admin_identity> admin_tokens::authenticate(std::string_view authorization, timestamp now) const {
  const std::string_view sent = credential(authorization);
  if (sent.empty()) {
    return fail(errc::unauthorized,
                "Authorization: an admin token is needed, as \"Bearer luma-relay-admin-…\"; the command line "
                "makes one: luma-relay admin-token create");
  }
  if (sent.starts_with(admin_token_prefix)) {
    const sha256_digest digest = sha256(sent);
    for (const admin_token& t : all_) {
      if (same_digest(t.digest, digest) && t.in_force(now)) return admin_identity{t.name, t.role, false};
    }
  }
  return fail(errc::unauthorized, "Authorization: this is no admin token in force");
}

}  // namespace relay
