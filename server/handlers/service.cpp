// What tells how the relay itself is.

#include "server/handlers/handlers.hpp"

namespace relay::handlers {

awaitable<http::reply> ping(call&) {
  co_return http::json_reply(200, {{"message", "pong"}});
}

// The process lives: its loop answers.
awaitable<http::reply> healthz(call&) {
  co_return http::json_reply(200, {{"status", "ok"}});
}

// It wants requests: not while it stops.
awaitable<http::reply> readyz(call& c) {
  const bool ready = c.in.ready();
  co_return http::json_reply(ready ? 200 : 503, {{"status", ready ? "ready" : "not ready"}});
}

awaitable<http::reply> show_metrics(call& c) {
  if (const auto counts = c.in.tasks.count_by_state()) {
    for (const task_state s : all_states) {
      std::int64_t tasks = 0;
      for (const state_count& n : *counts) tasks = n.state == s ? n.tasks : tasks;
      c.in.figures.set_tasks(s, tasks);
    }
  }
  c.in.figures.set_store_queue(c.in.tasks.queued());
  http::reply out;
  out.content_type = metrics::content_type;
  out.body = c.in.figures.text();
  co_return out;
}

}  // namespace relay::handlers
