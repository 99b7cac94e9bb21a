// POST /callbacks/{task}/{secret}: an upstream says that something has happened. It is not signed, so it is a
// hint and nothing more (rule S6): the task is asked about, and the body is not looked at.

#include <openssl/crypto.h>

#include "common/base/id.hpp"
#include "server/handlers/handlers.hpp"

namespace relay::handlers {

awaitable<http::reply> upstream_callback(call& c) {
  const auto t = c.in.tasks.load(normalise_id(c.id));
  if (!t) co_return error_reply(t.error(), c.on.errors);
  const bool known = *t && !(*t)->marker.empty() && (*t)->marker.size() == c.key.size() &&
                     CRYPTO_memcmp((*t)->marker.data(), c.key.data(), c.key.size()) == 0;
  if (!known) {
    auto none = fail(errc::not_found, "There is no such callback here");
    co_return error_reply(none.error(), c.on.errors);
  }
  c.http.task_id = (*t)->id;
  c.in.upstream_called(**t);
  co_return http::json_reply(200, {{"message", "ok"}});
}

}  // namespace relay::handlers
