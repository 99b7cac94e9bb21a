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

// 503 when it wants no requests: it stops, or its database cannot be written. With a full disk, or without an
// upstream that works, it still serves reads; the body says which part is not well.
awaitable<handled> readyz(call& c) {
  const readiness state = c.in.state();
  co_return http::json_reply(state.ready ? 200 : 503, as_json(state));
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
