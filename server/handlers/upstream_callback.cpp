// POST /callbacks/{task}/{secret}: an upstream says that something has happened. It is not signed, so it is a
// hint and nothing more (rule S6): the upstream is asked. Of the body only the job's id is looked at, and
// only while it is not known (rule M13).

#include <openssl/crypto.h>

#include "common/base/id.hpp"
#include "server/await_store.hpp"
#include "server/handlers/handlers.hpp"

namespace relay::handlers {

awaitable<handled> upstream_callback(call& c) {
  std::string id = normalise_id(c.id);
  const auto t = co_await load_task(c.in.tasks, std::move(id));
  if (!t) co_return std::unexpected(t.error());
  const bool known = *t && !(*t)->marker.empty() && (*t)->marker.size() == c.key.size() &&
                     CRYPTO_memcmp((*t)->marker.data(), c.key.data(), c.key.size()) == 0;
  if (!known) co_return fail(errc::not_found, "There is no such callback here");
  c.http.task_id = (*t)->id;
  c.in.upstream_called(*t, c.http.body);
  co_return http::json_reply(200, {{"message", "ok"}});
}

}  // namespace relay::handlers
