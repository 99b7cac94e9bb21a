// Many tasks in one request, in the envelope of the route's dialect.

#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/handlers/handlers.hpp"

namespace relay::handlers {

awaitable<handled> batch_tasks(call& c) {
  const auto body = parse_strict(c.http.body);  // any Content-Type: stations document text/plain
  if (!body) co_return std::unexpected(body.error());
  auto ids = c.on.speaks->parse_ids(*body, static_cast<std::size_t>(c.in.settings.server.max_batch_ids));
  if (!ids) co_return std::unexpected(std::move(ids.error()));
  const auto tasks = co_await find_tasks(c.in.tasks, c.who.id, std::move(*ids));
  if (!tasks) co_return std::unexpected(tasks.error());
  const timestamp time = now();
  std::vector<std::string> items;
  items.reserve(tasks->size());
  for (const task_ptr& t : *tasks) {
    auto item = c.in.rendered.get(c.on.form(), *t, time);
    if (!item) co_return std::unexpected(std::move(item.error()));
    items.push_back(std::move(*item));
  }
  http::reply out;
  out.body = c.on.speaks->render_batch(items);
  co_return out;
}

}  // namespace relay::handlers
