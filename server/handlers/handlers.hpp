#pragma once

// The handlers of the public API, one file each.

#include "server/front.hpp"

namespace relay::handlers {

awaitable<http::reply> create_generation(call& c);
awaitable<http::reply> extend_generation(call& c);
awaitable<http::reply> get_generation(call& c);
awaitable<http::reply> download_url(call& c);
awaitable<http::reply> list_generations(call& c);
awaitable<http::reply> batch_tasks(call& c);

awaitable<http::reply> generation_events(call& c);
awaitable<http::reply> task_events(call& c);
awaitable<http::reply> upstream_callback(call& c);

awaitable<http::reply> ping(call& c);
awaitable<http::reply> healthz(call& c);
awaitable<http::reply> readyz(call& c);
awaitable<http::reply> show_metrics(call& c);

/// The caller's task, or the error whose bytes are the same for a foreign id and an absent one.
result<task_ptr> find_own(call& c, std::string_view id);

}  // namespace relay::handlers
