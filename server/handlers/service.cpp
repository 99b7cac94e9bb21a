// What tells how the relay itself is.

#include "server/clock.hpp"
#include "server/handlers/handlers.hpp"

namespace relay::handlers {

awaitable<http::reply> ping(call&) {
  co_return http::json_reply(200, {{"message", "pong"}});
}

// The process lives: its loop answers.
awaitable<http::reply> healthz(call&) {
  co_return http::json_reply(200, {{"status", "ok"}});
}

// It wants requests: not while it stops. With a full disk it still answers questions, but takes no jobs.
awaitable<http::reply> readyz(call& c) {
  const bool ready = c.in.ready();
  const std::string_view refusal = c.in.refuses_jobs();
  co_return http::json_reply(ready ? 200 : 503, {{"status", ready ? "ready" : "not ready"},
                                                 {"takes_jobs", ready && refusal.empty()}});
}

awaitable<http::reply> show_metrics(call& c) {
  if (const auto counts = c.in.tasks.count_by_state()) {
    for (const task_state s : all_states) {
      std::int64_t tasks = 0;
      for (const state_count& n : *counts) tasks = n.state == s ? n.tasks : tasks;
      c.in.figures.set_tasks(s, tasks);
    }
  }
  const timestamp time = now();
  if (const auto n = c.in.tasks.count_ambiguous()) c.in.figures.set_ambiguous(*n);
  if (const auto n = c.in.tasks.count_overdue(time - std::chrono::minutes(1))) c.in.figures.set_overdue(*n);
  if (const auto n = c.in.tasks.count_owed()) c.in.figures.set_callbacks_owed(*n);
  c.in.figures.set_store_queue(c.in.tasks.queued());
  http::reply out;
  out.content_type = metrics::content_type;
  out.body = c.in.figures.text();
  co_return out;
}

}  // namespace relay::handlers
