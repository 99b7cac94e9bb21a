// DELETE …/generations/{id}: on disk before it is answered. A job that an upstream has goes on there.

#include <spdlog/logger.h>

#include "server/handlers/handlers.hpp"
#include "server/task_changes.hpp"

namespace relay::handlers {

awaitable<handled> delete_generation(call& c) {
  auto found = co_await find_own(c, c.id);
  if (!found) co_return std::unexpected(std::move(found.error()));
  const std::string id = (*found)->id;
  c.http.task_id = id;
  task_event gone = event::deleted{};
  const auto done = co_await c.in.jobs.apply(id, std::move(gone));
  if (!done) {
    if (done.error().code == errc::task_not_found) co_return not_found();
    c.in.log.error("request {}: task {} was not deleted: {}", c.http.id, id, done.error().log.text);
    co_return std::unexpected(done.error());
  }
  if (!done->changed()) co_return not_found();  // another request was quicker
  c.in.log.info("task {}: deleted by its client{}", id,
                is_terminal(done->after->state) ? "" : ", and followed to its end");
  http::reply out;
  out.status = 204;
  co_return out;
}

}  // namespace relay::handlers
