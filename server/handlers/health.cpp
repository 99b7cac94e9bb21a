// How the relay itself is.

#include "server/handlers/handlers.hpp"

namespace relay::handlers {

awaitable<handled> ping(call&) {
  co_return http::json_reply(200, {{"message", "pong"}});
}

// The process lives: its loop responds.
awaitable<handled> healthz(call&) {
  co_return http::json_reply(200, {{"status", "ok"}});
}

// It wants requests: not while it stops. With a full disk it still serves reads, but accepts no jobs.
awaitable<handled> readyz(call& c) {
  const bool ready = c.in.ready();
  const std::string_view refusal = c.in.refuses_jobs();
  co_return http::json_reply(ready ? 200 : 503, {{"status", ready ? "ready" : "not ready"},
                                                 {"takes_jobs", ready && refusal.empty()}});
}

// From figures that are kept: nothing is counted here.
awaitable<handled> show_metrics(call& c) {
  c.in.figures.set_tasks(c.in.tasks.counts());
  c.in.figures.set_store_queue(c.in.tasks.queued());
  http::reply out;
  out.content_type = metrics::content_type;
  out.body = c.in.figures.text();
  co_return out;
}

}  // namespace relay::handlers
