// Many tasks in one request, in the envelope of the route's dialect.

#include <algorithm>

#include "common/base/json_arena.hpp"
#include "server/handlers/body.hpp"
#include "server/handlers/handlers.hpp"
#include "server/handlers/item_list.hpp"
#include "server/settings.hpp"

namespace relay::handlers {
namespace {

// The narrowest of the limits that there are.
std::size_t most_ids(const call& c) {
  const customer_limits usual = usual_limits(c.in.settings);
  std::int64_t most = usual.batch;
  for (const customer_limits& own : {c.who.limits.over(usual), c.by->with.limits.over({})}) {
    if (own.batch > 0) most = std::min(most, own.batch);
  }
  return static_cast<std::size_t>(most);
}

}  // namespace

awaitable<handled> batch_tasks(call& c) {
  json_arena memory;
  const auto body = parse_body(c, memory.storage());
  if (!body) co_return std::unexpected(body.error());
  auto ids = c.on.speaks->parse_ids(*body, most_ids(c));
  if (!ids) co_return std::unexpected(std::move(ids.error()));
  const dialect& d = *c.on.speaks;
  const bool bare = c.in.settings.server.tasks_shape == "array" && d.in_array != nullptr;
  list_frame frame = bare ? list_frame{"[", "]"} : d.frame_batch();
  const task_form& how = bare ? *d.in_array : c.on.form();
  co_return co_await reply_with_tasks(c, how, std::move(frame), std::move(*ids), {}, absent::left_out);
}

}  // namespace relay::handlers
