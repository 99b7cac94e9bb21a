// POST …/generations: understand the request, write the job down, let the dispatcher hand it out, answer with
// what the upstream said, or with "queued" when it has not said anything in time.

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/fault_point.hpp"
#include "common/base/url.hpp"
#include "common/luma/validation.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/handlers/handlers.hpp"
#include "server/handlers/repeats.hpp"
#include "server/handlers/waiting.hpp"

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

// The upstream has said something; or it is certain that it could not take the job now, or that its answer
// was lost: then the job goes on by itself.
bool answered(const task& t) {
  return t.state != task_state::submitting || is_ambiguous(t);
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

// What a client is told of a job that is on disk, after the waiting it asked for: in all, the longest of
// these waits, not their sum.
awaitable<http::reply> tell(call& c, watch::waiter& change, task_ptr known, const json::object& request,
                            bool replayed) {
  c.http.task_id = known->id;
  const auto started = steady_clock::now();
  const auto patience = preferred_wait(c);
  bool as_it_is = !replayed;
  const auto newer = [&known](task_ptr t) {
    if (t) known = std::move(t);
  };
  if (!answered(*known)) {
    steady_clock::duration at_most = c.in.settings.server.submit_wait;
    if (patience) at_most = std::min<steady_clock::duration>(at_most, *patience);
    newer(co_await change.until(answered, started + at_most, watch::manner::answers));
  }
  if (const auto wait = sync_wait(request); wait && !ended(*known)) {
    newer(co_await change.until(ended, started + *wait, watch::manner::listens));
    as_it_is = true;
  }
  if (patience && !ended(*known)) {
    const auto before = shared::official_state(known->state);
    const auto changed = [before](const task& t) { return shared::official_state(t.state) != before; };
    newer(co_await change.until(changed, started + *patience, watch::manner::listens));
    as_it_is = true;
  }

  http::reply out;
  if (known->state == task_state::failed && known->fail_status != 0) {
    error refused;
    refused.code = errc::upstream_rejected;
    refused.status = known->fail_status;
    refused.message.text = known->fail_reason;
    refused.may_retry = false;
    // @ai-sdk/luma shows the text of the array form only.
    if (refused.status == 422)
      refused.violations.push_back({"upstream_rejected", {"body"}, known->fail_reason, ""});
    out = error_reply(refused, c.on.errors);
  } else {
    task shown = *known;
    if (!as_it_is) {  // a repeated create is answered as the first was
      shown.state = task_state::queued;
      shown.fail_reason.clear();
    }
    out = http::json_reply(201, dialect_of(c.on.speaks).render_created(shown, now()));
  }
  if (replayed) out.add_header("Idempotent-Replayed", "true");
  if (patience) out.add_header("Preference-Applied", preference_applied(*patience));
  co_return out;
}

// The same create came before.
awaitable<http::reply> replay(call& c, const inserted& found, const json::object& request) {
  if (found.what == inserted::outcome::other_request) {
    co_return error_reply(key_taken(), c.on.errors);
  }
  watch::waiter change(c.in.changes, found.task_id);
  auto known = c.in.tasks.find(c.who.id, found.task_id);
  if (!known) co_return error_reply(known.error(), c.on.errors);
  if (!*known) {
    auto gone =
        fail(errc::task_not_found, "Idempotency-Key: the generation it was used for has been deleted");
    co_return error_reply(gone.error(), c.on.errors);
  }
  c.in.log.info("request {}: a repeated create, answered with task {}", c.http.id, found.task_id);
  co_return co_await tell(c, change, std::move(*known), request, true);
}

awaitable<http::reply> submit(call& c, new_task asked) {
  const timestamp time = now();
  const auto mark = claim_of(c, time);
  if (!mark) co_return error_reply(mark.error(), c.on.errors);
  // What came before is not refused, whatever stands in the way of new jobs.
  bool came_before = false;
  if (*mark) {
    const auto found = c.in.tasks.claimed(c.who.id, **mark);
    if (!found) co_return error_reply(found.error(), c.on.errors);
    came_before = found->has_value();
    if (came_before && (*mark)->what == claim::kind::key)
      co_return co_await replay(c, **found, asked.request);
  }
  if (const std::string_view why = c.in.refuses_jobs(); !why.empty() && !came_before) {
    error full;
    full.code = errc::disk_full;
    full.retry_after_seconds = 30;
    full.message.text = why;
    co_return error_reply(full, c.on.errors);
  }

  task t;
  t.id = make_task_id(time, random_for_id());
  t.owner = c.who.id;
  t.dialect = c.on.speaks;
  t.asked_at = c.on.asks_for;
  t.request = json::serialize(asked.request);
  t.callback_url = std::move(asked.callback_url);
  t.created_at = t.updated_at = t.next_submit_at = time;
  t.deadline = time + c.in.settings.submit.deadline;
  if (auto pinned = pin(c, asked.references, t); !pinned && !came_before)
    co_return error_reply(pinned.error(), c.on.errors);
  if (!t.callback_url.empty() && !is_web_url(t.callback_url)) {
    c.in.log.warn("task {}: its callback_url is no http or https URL; it will not be called", t.id);
  }

  if (!came_before) t = c.in.submit.assign(std::move(t));
  const bool sent_now = t.state == task_state::submitting;
  if (!sent_now && !came_before && c.in.settings.server.when_busy == "reject") {
    error busy;
    busy.code = errc::upstream_unavailable;
    busy.retry_after_seconds = 5;
    busy.message.text = "No upstream can take a job now; nothing was submitted. Try again in a few seconds";
    co_return error_reply(busy, c.on.errors);
  }

  const task reserved = t;
  watch::waiter change(c.in.changes, t.id);
  auto recorded = co_await insert(c.in.tasks, std::move(t), *mark);
  if (!recorded) {
    c.in.submit.release(reserved);
    c.in.log.error("request {}: the job was not recorded and not submitted: {}", c.http.id,
                   recorded.error().log.text);
    co_return error_reply(recorded.error(), c.on.errors);
  }
  if (recorded->what != inserted::outcome::fresh) {
    c.in.submit.release(reserved);
    co_return co_await replay(c, *recorded, asked.request);
  }
  fault_point("inserted, not sent");
  auto known = std::make_shared<const task>(recorded->value);
  if (sent_now) c.in.submit.launch(std::move(recorded->value));
  http::reply out = co_await tell(c, change, std::move(known), asked.request, false);
  fault_point("saved, not answered");
  co_return out;
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
