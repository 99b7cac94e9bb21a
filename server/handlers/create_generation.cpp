// POST …/generations: understand the request, write the job down, let the dispatcher hand it out, answer with
// what the upstream said, or with "queued" when it has not said anything in time.

#include <spdlog/logger.h>

#include <algorithm>

#include "common/url.hpp"
#include "common/validation.hpp"
#include "server/await_store.hpp"
#include "server/entropy.hpp"
#include "server/handlers/handlers.hpp"

namespace relay::handlers {
namespace {

// A generation that the request builds on pins the job to the upstream that holds it.
result<void> pin(call& c, const std::vector<std::string>& references, task& t) {
  for (const std::string& id : references) {
    auto other = c.in.tasks.find(c.who.id, id);
    if (!other) return std::unexpected(std::move(other.error()));
    if (!*other)
      return fail(errc::invalid_request, "keyframes: there is no generation " + id + " of this API key");
    if ((*other)->upstream_id.empty()) {
      return fail(errc::invalid_request,
                  "keyframes: generation " + id +
                      " has not been accepted by an upstream; wait until it is completed");
    }
    if (t.pinned && t.upstream != (*other)->upstream) {
      return fail(errc::invalid_request,
                  "keyframes: the two generations are held by different upstreams and cannot be joined");
    }
    t.pinned = true;
    t.upstream = (*other)->upstream;
  }
  return {};
}

// The upstream has said something; or it is certain that it could not take the job now, which goes on waiting
// by itself.
bool answered(const task& t) {
  return t.state != task_state::submitting;
}
bool ended(const task& t) {
  return is_terminal(t.state);
}

// `sync` of the image API is served by the relay: the upstream is asked without it, and asked again until it
// is done.
std::optional<milliseconds> sync_wait(const json::object& request) {
  const json::value* sync = member(request, "sync");
  if (sync == nullptr || !sync->is_bool() || !sync->get_bool()) return std::nullopt;
  const json::value* limit = member(request, "sync_timeout");
  const double seconds = limit != nullptr && limit->is_number() ? limit->to_number<double>() : 60;
  return milliseconds(static_cast<std::int64_t>(std::clamp(seconds, 0.0, 55.0) * 1000));
}

awaitable<http::reply> submit(call& c, new_task asked) {
  const timestamp now = wall_now();
  task t;
  t.id = make_task_id(now, random_for_id());
  t.owner = c.who.id;
  t.dialect = c.on.speaks;
  t.asked_at = c.on.asks_for;
  t.request = json::serialize(asked.request);
  t.callback_url = std::move(asked.callback_url);
  t.created_at = t.updated_at = t.next_submit_at = now;
  t.deadline = now + c.in.settings.submit.deadline;
  if (auto pinned = pin(c, asked.references, t); !pinned) co_return error_reply(pinned.error(), c.on.errors);
  if (!t.callback_url.empty() && !is_web_url(t.callback_url)) {
    c.in.log.warn("task {}: its callback_url is no http or https URL; it will not be called", t.id);
  }

  t = c.in.submit.assign(std::move(t));
  const bool sent_now = t.state == task_state::submitting;
  if (!sent_now && c.in.settings.server.when_busy == "reject") {
    error busy;
    busy.code = errc::upstream_unavailable;
    busy.retry_after_seconds = 5;
    busy.message.text = "No upstream can take a job now; nothing was submitted. Try again in a few seconds";
    co_return error_reply(busy, c.on.errors);
  }

  const std::string lane = t.upstream;
  watch::waiter change(c.in.changes, t.id);
  auto recorded = co_await insert(c.in.tasks, std::move(t));
  if (!recorded) {
    if (sent_now) c.in.submit.release(lane);
    c.in.log.error("request {}: the job was not recorded and not submitted: {}", c.http.id,
                   recorded.error().log.text);
    co_return error_reply(recorded.error(), c.on.errors);
  }
  task_ptr known;
  if (sent_now) {
    c.in.submit.launch(std::move(*recorded));
    known = co_await change.until(answered, c.in.settings.server.submit_wait);
    if (const auto wait = sync_wait(asked.request)) known = co_await change.until(ended, *wait);
  } else {
    known = std::make_shared<const task>(std::move(*recorded));
  }

  if (known->state == task_state::failed && known->fail_status != 0) {
    error refused;
    refused.code = errc::upstream_rejected;
    refused.status = known->fail_status;
    refused.message.text = known->fail_reason;
    refused.may_retry = false;
    // @ai-sdk/luma shows the text of the array form only.
    if (refused.status == 422)
      refused.violations.push_back({"upstream_rejected", {"body"}, known->fail_reason, ""});
    co_return error_reply(refused, c.on.errors);
  }
  co_return http::json_reply(201, dialect_of(c.on.speaks).render_created(*known, wall_now()));
}

}  // namespace

awaitable<http::reply> create_generation(call& c) {
  const auto body = parse_strict(c.http.body);
  if (!body) co_return error_reply(body.error(), c.on.errors);
  auto asked = dialect_of(c.on.speaks).parse_create(*body, c.on.asks_for);
  if (!asked) co_return error_reply(asked.error(), c.on.errors);
  co_return co_await submit(c, std::move(*asked));
}

// POST /luma/generations/{id}/extend: the same body, with the generation as its first keyframe.
awaitable<http::reply> extend_generation(call& c) {
  auto base = find_own(c, c.id);
  if (!base) co_return error_reply(base.error(), c.on.errors);
  auto body = parse_strict(c.http.body);
  if (!body) co_return error_reply(body.error(), c.on.errors);
  if (body->is_object()) {
    json::value& keyframes = body->get_object()["keyframes"];
    if (!keyframes.is_object()) keyframes = json::object{};
    keyframes.get_object()["frame0"] = {{"type", "generation"}, {"id", json::string((*base)->id)}};
    body->get_object().erase("image_url");
  }
  auto asked = dialect_of(c.on.speaks).parse_create(*body, c.on.asks_for);
  if (!asked) co_return error_reply(asked.error(), c.on.errors);
  co_return co_await submit(c, std::move(*asked));
}

}  // namespace relay::handlers
