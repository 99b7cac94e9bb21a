#pragma once

// The handlers of the public API. They go through the route's dialect and know no field of any family.

#include "server/route.hpp"

namespace relay::handlers {

/// POST …: a new task of the route's action. With "{id}" in the path it builds on that task.
awaitable<handled> create_generation(call& c);
/// GET …/{id}, in the route's form.
awaitable<handled> get_generation(call& c);
awaitable<handled> list_generations(call& c);
/// 204: it is hidden from its client; what waits is not submitted, the rest is followed to its end.
awaitable<handled> delete_generation(call& c);
awaitable<handled> batch_tasks(call& c);

awaitable<handled> generation_events(call& c);
awaitable<handled> task_events(call& c);
awaitable<handled> upstream_callback(call& c);

awaitable<handled> list_words(call& c);
awaitable<handled> credits(call& c);
awaitable<handled> subscription_usage(call& c);
awaitable<handled> users_me(call& c);

/// What the account has done, by day, action and so on, and what it has left.
awaitable<handled> own_usage(call& c);
/// The two paths that OpenAI had for it, and station front ends still ask: what there is in all, and what of
/// it is used.
awaitable<handled> billing_subscription(call& c);
awaitable<handled> billing_usage(call& c);

/// A file, uploaded: as a form, as base64 in JSON, or to an address that is the answer. A URL is answered as
/// it is.
awaitable<handled> upload_file(call& c);
result<http::body_plan> receive_upload(const body_to_come& b);
/// ComfyUI's form of it: the file is put to an address that is the answer.
awaitable<handled> announce_upload(call& c);
awaitable<handled> put_file(call& c);
result<http::body_plan> receive_put(const body_to_come& b);
/// GET /assets/…, with Range (RFC 9110 §14): no token, the address cannot be guessed.
awaitable<handled> get_file(call& c);

awaitable<handled> ping(call& c);
awaitable<handled> healthz(call& c);
awaitable<handled> public_document(call& c);
awaitable<handled> admin_document(call& c);
awaitable<handled> show_docs(call& c);
awaitable<handled> docs_script(call& c);
awaitable<handled> readyz(call& c);
awaitable<handled> show_metrics(call& c);

/// What is said of an id that is not the caller's, or deleted.
std::unexpected<error> not_found();
/// The caller's task. Errors: task_not_found, with the same bytes for a foreign id and an absent one; those
/// of the store.
awaitable<result<task_ptr>> find_own(call& c, std::string_view id);

}  // namespace relay::handlers
