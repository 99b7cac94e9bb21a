// POST /luma/tasks: many tasks in one question, in the code/message/data envelope.

#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/handlers/handlers.hpp"

namespace relay::handlers {

awaitable<http::reply> batch_tasks(call& c) {
  const auto body = parse_strict(c.http.body);  // any Content-Type: stations document text/plain
  if (!body) co_return error_reply(body.error(), c.on.errors);
  const auto ids = parse_ids(*body, static_cast<std::size_t>(c.in.settings.server.max_batch_ids));
  if (!ids) co_return error_reply(ids.error(), c.on.errors);
  const auto tasks = c.in.tasks.find_many(c.who.id, *ids);
  if (!tasks) co_return error_reply(tasks.error(), c.on.errors);
  const timestamp time = now();
  std::vector<std::string> items;
  items.reserve(tasks->size());
  for (const task_ptr& t : *tasks) items.push_back(c.in.rendered.get(rendering::item, *t, time));
  http::reply out;
  out.body = render_batch(items);
  co_return out;
}

}  // namespace relay::handlers
