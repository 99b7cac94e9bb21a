// POST …/generations: understand the request, write the job down, let the dispatcher submit it, respond with
// what the upstream responded, or with "queued" when it has not responded in time.

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/fault_point.hpp"
#include "common/base/json_arena.hpp"
#include "common/base/json_text.hpp"
#include "common/base/trace_context.hpp"
#include "common/base/url.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/handlers/body.hpp"
#include "server/handlers/files.hpp"
#include "server/handlers/handlers.hpp"
#include "server/handlers/waiting.hpp"
#include "server/request_rate.hpp"
#include "server/settings.hpp"

namespace relay::handlers {
namespace {

// The upstream has responded; or it is certain that it could not take the job now, or that its response
// was lost: then the job goes on by itself.
bool settled(const task& t) {
  return t.state != task_state::submitting || is_ambiguous(t);
}
bool ended(const task& t) {
  return is_terminal(t.state) || is_set(t.deleted_at);
}

// ---- 1. what the request asks for

// A create request, understood, with its job as it is stored.
struct asked_for {
  std::string request;
  std::string callback_url;
  std::vector<reference> references;
  std::optional<milliseconds> wait;
  result<money> price;                   // what the account pays for it, if it may have it
  std::shared_ptr<request_files> files;  // null: there are none
};

result<new_task> understand(const call& c, std::string_view subject, json_arena& memory) {
  const auto body = parse_body(c, memory.storage());
  if (!body) return std::unexpected(body.error());
  return c.on.speaks->parse_create(*body, *c.on.creates, subject);
}

// An account may be for some models only; a job without one is none of them. Errors: forbidden.
result<void> may_use_model(const call& c, const json::object& request) {
  const std::vector<std::string>& allowed = c.who.models;
  if (allowed.empty()) return {};
  const std::string model = c.in.prices.traits(request, *c.on.creates).model;
  if (std::ranges::any_of(allowed, [&model](const std::string& pattern) { return matches(pattern, model); }))
    return {};
  std::string names;
  for (const std::string& pattern : allowed) names.append(names.empty() ? "" : ", ").append(pattern);
  return fail(errc::forbidden, (model.empty() ? "This account may not create jobs that name no model"
                                              : "This account may not use the model " + model) +
                                   "; allowed: " + names);
}

asked_for as_stored(const call& c, new_task parsed) {
  if (c.in.prices.has_prices() || !c.who.models.empty())
    c.in.prices.settle_model(parsed.request, *c.on.creates);
  result<money> price = money{};
  if (auto allowed = may_use_model(c, parsed.request); !allowed)
    price = std::unexpected(std::move(allowed.error()));
  else if (c.in.prices.has_prices())
    price = c.in.prices.price_for(parsed.request, *c.on.creates, c.who.group);
  return {to_text(parsed.request),
          std::move(parsed.callback_url),
          std::move(parsed.references),
          parsed.wait,
          std::move(price),
          {}};
}

// nullopt: there are files in it that must get their addresses first.
result<std::optional<asked_for>> parse(const call& c, std::string_view subject) {
  json_arena memory;
  auto parsed = understand(c, subject, memory);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  if (any_to_take(c, parsed->files)) return std::nullopt;
  return as_stored(c, std::move(*parsed));
}

awaitable<result<asked_for>> parse_with_files(call& c, std::string_view subject) {
  const auto memory = std::make_unique<json_arena>();
  auto parsed = understand(c, subject, *memory);
  if (!parsed) co_return std::unexpected(std::move(parsed.error()));
  auto files = co_await take_files(c, parsed->files);
  if (!files) co_return std::unexpected(std::move(files.error()));
  asked_for out = as_stored(c, std::move(*parsed));
  out.files = std::move(*files);
  co_return out;
}

// The task in the path must be the caller's own.
awaitable<result<asked_for>> parse(call& c) {
  std::string subject;
  if (!c.id.empty()) {
    auto base = co_await find_own(c, c.id);
    if (!base) co_return std::unexpected(std::move(base.error()));
    subject = (*base)->id;
  }
  auto parsed = parse(c, subject);
  if (!parsed) co_return std::unexpected(std::move(parsed.error()));
  if (*parsed) co_return std::move(**parsed);
  co_return co_await parse_with_files(c, subject);
}

error not_now(errc code, int retry_after_seconds, std::string_view why) {
  error e;
  e.code = code;
  e.retry_after_seconds = retry_after_seconds;
  e.message.text = why;
  return e;
}

error drained() {
  return not_now(errc::upstream_unavailable, 60,
                 "The upstream for this job takes no new jobs now; nothing was submitted. Try again later");
}

// A task that the request builds on pins the job to the upstream that holds it.
awaitable<result<void>> pin(call& c, std::vector<reference> references, task& t) {
  for (const reference& r : references) {
    auto other = co_await find_task(c.in.tasks, c.who.id, r.id);
    if (!other) co_return std::unexpected(std::move(other.error()));
    if (!*other) {
      co_return fail(errc::invalid_request,
                     r.where + ": there is no generation " + r.id + " of this account");
    }
    if ((*other)->upstream_id.empty()) {
      co_return fail(errc::invalid_request,
                     r.where + ": generation " + r.id +
                         " has not been accepted by an upstream; wait until it is completed");
    }
    if (t.pinned && t.upstream != (*other)->upstream) {
      co_return fail(errc::invalid_request,
                     r.where + ": the two generations are held by different upstreams and cannot be joined");
    }
    t.pinned = true;
    t.upstream = (*other)->upstream;
  }
  if (t.pinned && !c.in.submit.any_serves(t)) {
    if (c.in.submit.only_drained(t)) co_return std::unexpected(drained());
    const std::string reason = c.in.submit.why_none_serves(t);
    co_return fail(errc::invalid_request, references.front().where + ": the upstream that holds generation " +
                                              references.front().id + " cannot do this with it" +
                                              (reason.empty() ? "" : ": " + reason));
  }
  co_return result<void>{};
}

// No upstream that is configured can ever do it: the client is told now, and not when the time is over.
result<void> possible(const call& c, const task& t) {
  if (t.pinned || c.in.submit.any_serves(t)) return {};
  if (c.in.submit.only_drained(t)) return std::unexpected(drained());
  std::string needed;
  for (const std::string_view name : c.in.names.protocol_names()) {
    if (!c.in.names.find_protocol(name)->obstacle(t, {}).empty()) continue;
    needed.append(needed.empty() ? "\"" : " or \"").append(name).append("\"");
  }
  std::string text = "No upstream of this relay can do this job: " + c.in.submit.why_none_serves(t);
  if (!needed.empty()) text += "; it needs one with protocol " + needed;
  return fail(errc::invalid_request, text + ". Nothing was submitted");
}

std::shared_ptr<task> task_for(const call& c, asked_for& asked, timestamp time) {
  auto made = std::make_shared<task>();
  task& t = *made;
  t.id = make_id(time, random_for_id());
  t.owner = c.who.id;
  t.token = c.by->with.id;
  t.dialect = c.on.speaks;
  t.action = c.on.creates;
  t.request = std::move(asked.request);
  t.callback_url = std::move(asked.callback_url);
  t.price = asked.price.value_or(money{});
  if (const std::string_view trace = c.http.header("traceparent"); valid_traceparent(trace))
    t.traceparent = trace;
  t.created_at = t.updated_at = t.next_submit_at = time;
  t.deadline = time + c.in.settings.submit.deadline;
  return made;
}

result<std::optional<idempotency_record>> idempotency_of(const call& c, timestamp time) {
  // With neither header a create stands for itself.
  idempotency_headers h;
  h.keys = c.http.headers->count("Idempotency-Key");
  h.key = c.http.header("Idempotency-Key");
  h.retry_count = c.http.header("x-stainless-retry-count");
  h.timeout = c.http.header("x-stainless-timeout");
  if (h.timeout.empty()) h.timeout = c.http.header("x-stainless-read-timeout");
  if (h.keys == 0 && h.retry_count.empty()) return std::nullopt;
  std::string request(c.http.path);
  request.append("\n").append(c.http.body);
  return relay::idempotency_of(h, request, time);
}

// What was sent costs more than the account has left.
awaitable<error> not_covered(call& c, money price) {
  error e;
  e.code = errc::insufficient_credits;
  e.may_retry = false;
  const std::string& currency = c.in.prices.currency();
  e.message.text = "Insufficient credits: this job costs " + to_text(price) + " " + currency;
  const auto has = co_await from_store(c.in.tasks, &store::balance, c.who.id);
  if (has) e.message.text += ", and " + to_text(has->left()) + " " + currency + " are left";
  e.message.text += "; nothing was submitted";
  co_return e;
}

error disk_full(std::string_view why) {
  return not_now(errc::disk_full, 30, why);
}

error all_busy() {
  return not_now(errc::upstream_unavailable, 5,
                 "No upstream can take a job now; nothing was submitted. Try again in a few seconds");
}

// ---- 3. what the client gets

// The newest revision after the waiting that the client asked for: in all, the longest of its waits, not
// their sum. `as_it_is`: it is shown as it is, and not as the first response to a repeated create was.
struct awaited {
  task_ptr newest;
  bool as_it_is = true;
};
awaitable<awaited> wait_for_response(call& c, watch::waiter& change, task_ptr known,
                                     std::optional<milliseconds> wait_in_body, bool replayed) {
  const auto started = steady_clock::now();
  const auto preferred = preferred_wait(c);
  awaited out{std::move(known), !replayed};
  const auto newer = [&out](task_ptr t) {
    if (t) out.newest = std::move(t);
  };
  // Always: the response to the submission, for as long as the operator allows.
  if (!settled(*out.newest)) {
    steady_clock::duration limit = c.in.settings.server.submit_wait;
    if (preferred) limit = std::min<steady_clock::duration>(limit, *preferred);
    auto t = co_await change.until(settled, started + limit, watch::on_drain::stay);
    newer(std::move(t));
  }
  // On request, in the body ("wait"): the end of the job. A token that is revoked waits for nothing more.
  const auto may_wait = [&c] { return c.in.accounts.in_force(*c.by, now()); };
  if (wait_in_body && !ended(*out.newest)) {
    auto t = co_await change.until(ended, started + *wait_in_body, watch::on_drain::leave, may_wait);
    newer(std::move(t));
    out.as_it_is = true;
  }
  // On request, in the header (Prefer: wait, RFC 7240): the next state that the client can see.
  if (preferred && !ended(*out.newest)) {
    const auto word = c.on.form().word;
    const auto changed = [word, before = word(out.newest->state)](const task& t) {
      return word(t.state) != before || is_set(t.deleted_at);
    };
    auto t = co_await change.until(changed, started + *preferred, watch::on_drain::leave, may_wait);
    newer(std::move(t));
    out.as_it_is = true;
  }
  if (replayed) c.headers.emplace_back("Idempotent-Replayed", "true");
  if (preferred) c.headers.emplace_back("Preference-Applied", preference_applied(*preferred));
  co_return out;
}

error refused_by_upstream(const task& t) {
  error e;
  e.code = errc::upstream_rejected;
  e.status = t.fail_status;
  e.message.text = t.fail_reason;
  e.may_retry = false;
  // @ai-sdk/luma shows the text of the array form only.
  if (e.status == 422) e.violations.push_back({"upstream_rejected", {"body"}, t.fail_reason, ""});
  return e;
}

awaitable<handled> respond(call& c, watch::waiter& change, task_ptr known,
                           std::optional<milliseconds> wait_in_body, bool replayed) {
  c.http.task_id = known->id;
  const awaited a = co_await wait_for_response(c, change, std::move(known), wait_in_body, replayed);
  const task& t = *a.newest;
  c.http.upstream = t.upstream;
  if (c.in.prices.has_prices()) c.headers.emplace_back("X-Relay-Cost", to_text(t.price));
  if (is_set(t.deleted_at)) co_return not_found();  // while the client waited for it
  if (t.state == task_state::failed && t.fail_status != 0) co_return std::unexpected(refused_by_upstream(t));
  task shown = t;
  if (!a.as_it_is) {  // a repeated create gets the response of the first
    shown.state = task_state::queued;
    shown.fail_reason.clear();
  }
  auto body = c.on.speaks->created->render(shown, now());
  if (!body) co_return std::unexpected(std::move(body.error()));
  http::reply out;
  out.status = 201;
  out.body = std::move(*body);
  co_return out;
}

// The same create came before.
awaitable<handled> replay(call& c, const written_change& found, std::optional<milliseconds> wait_in_body) {
  if (found.what == written_change::outcome::other_request) co_return std::unexpected(key_reused());
  watch::waiter change(c.in.changes, found.task_id);
  auto known = co_await find_task(c.in.tasks, c.who.id, found.task_id);
  if (!known) co_return std::unexpected(std::move(known.error()));
  if (!*known)
    co_return fail(errc::task_not_found, "Idempotency-Key: the generation it was used for has been deleted");
  c.in.log.info("request {}: a retry of an earlier create, the response is task {}", c.http.id,
                found.task_id);
  co_return co_await respond(c, change, std::move(*known), wait_in_body, true);
}

// What was not kept goes, and others get its room, before the response is waited for.
void leave_files(call& c, std::shared_ptr<request_files>& files) {
  files.reset();
  c.http.sink.reset();
}

// ---- 2. on disk, then to the upstream

awaitable<handled> record(call& c, dispatcher::assigned a, create_limits::place counted,
                          std::optional<idempotency_record> idempotency,
                          std::optional<milliseconds> wait_in_body, std::shared_ptr<request_files> files) {
  // The waiter first: a change between the commit and the waiting is not missed.
  watch::waiter change(c.in.changes, a.value->id);
  const money price = a.value->price;
  relay::change c_new{nullptr, std::move(a.value), idempotency};
  if (price > money{}) c_new.booked = c.in.prices.booking_of(nullptr, *c_new.after, c.http.id);
  const auto booked = c_new.booked;
  auto recorded = co_await from_store(c.in.tasks, &store::write, std::move(c_new));
  counted = {};  // from here on the store counts it
  if (!recorded && recorded.error().code == errc::insufficient_credits) {
    a.slot.reset();
    error refused = co_await not_covered(c, price);
    co_return std::unexpected(std::move(refused));
  }
  if (!recorded) {
    c.in.log.error("request {}: the job was not recorded and not submitted: {}", c.http.id,
                   recorded.error().log.text);
    co_return std::unexpected(std::move(recorded.error()));
  }
  // The same create was written a moment earlier: this one is not submitted.
  if (recorded->what != written_change::outcome::written) {
    a.slot.reset();
    leave_files(c, files);
    co_return co_await replay(c, *recorded, wait_in_body);
  }
  if (booked && booked->ledger) c.in.figures.booked(*booked->ledger);
  // It is on disk: only now may it be sent.
  fault_point("inserted, not sent");
  if (files) files->done();
  leave_files(c, files);
  if (a.slot) c.in.submit.launch(recorded->value, std::move(*a.slot));
  a.slot.reset();
  if (idempotency) c.in.sends.recorded(c.who.id, *idempotency, recorded->value->created_at);
  handled out = co_await respond(c, change, std::move(recorded->value), wait_in_body, false);
  if (idempotency && out) {
    out->on_written = [&sends = c.in.sends, owner = c.who.id, r = *idempotency] {
      sends.responded(owner, r);
    };
  } else if (idempotency) {
    c.in.sends.responded(c.who.id, *idempotency);  // the upstream refused it: no SDK sends that again
  }
  fault_point("saved, no response sent");
  co_return out;
}

awaitable<handled> create(call& c, asked_for asked, const std::optional<idempotency_record>& idempotency,
                          timestamp time) {
  // What came before is not refused, whatever stands in the way of new jobs.
  bool came_before = false;
  if (idempotency && !idempotency->stands_alone) {
    const auto found = co_await from_store(c.in.tasks, &store::find_repeated, c.who.id, *idempotency);
    if (!found) co_return std::unexpected(found.error());
    came_before = found->has_value();
    if (came_before && idempotency->what == idempotency_record::kind::key) {
      leave_files(c, asked.files);
      co_return co_await replay(c, **found, asked.wait);
    }
  }
  if (!asked.price && !came_before) co_return std::unexpected(std::move(asked.price.error()));
  // 1. Whether a new job can be kept at all.
  const std::string_view full = c.in.refuses_jobs();
  if (!full.empty() && !came_before) co_return std::unexpected(disk_full(full));

  // 2. The task, held to the upstream that has what it builds on.
  std::shared_ptr<task> made = task_for(c, asked, time);
  task& t = *made;
  if (!asked.references.empty()) {
    const auto pinned = co_await pin(c, std::move(asked.references), t);
    if (!pinned && !came_before) co_return std::unexpected(pinned.error());
  }
  if (auto can_be_done = possible(c, t); !can_be_done && !came_before)
    co_return std::unexpected(std::move(can_be_done.error()));
  if (!t.callback_url.empty() && !is_web_url(t.callback_url)) {
    c.in.log.warn("task {}: its callback address is not an http or https URL and will not be called", t.id);
    // RFC 7234 §5.5: a miscellaneous, persistent warning.
    c.headers.emplace_back(
        "Warning", "299 - \"The callback address is not an http or https URL and will not be called\"");
  }

  // 3. Its files, on disk before it is.
  if (asked.files) {
    const auto kept = co_await asked.files->keep(t.id);
    if (!kept && !came_before) co_return std::unexpected(kept.error());
  }
  // 4. An upstream, if one is free now; otherwise the job waits for one on disk. A token that was revoked
  // meanwhile creates nothing more.
  if (!c.in.accounts.in_force(*c.by, time)) co_return std::unexpected(invalid_key());
  dispatcher::assigned a{std::move(made), std::nullopt};
  create_limits::place counted;
  if (!came_before) {
    a = c.in.submit.assign(std::move(a.value));
    if (!a.slot && c.in.settings.server.when_busy == "reject") co_return std::unexpected(all_busy());
    const task_counts& counts = c.in.tasks.counts();
    const token& with = c.by->with;
    const limited account{c.who.id, c.who.limits.over(usual_limits(c.in.settings)), counts.of(c.who.id)};
    const limited token{with.id, with.limits.over({}), counts.of_token(with.id)};
    auto admitted = c.in.limits.admit(account, token, !a.slot, time);
    if (!admitted) co_return std::unexpected(std::move(admitted.error()));
    counted = std::move(*admitted);
  }
  // 5. On disk, to the upstream, back to the client.
  co_return co_await record(c, std::move(a), std::move(counted), idempotency, asked.wait,
                            std::move(asked.files));
}

// An account may be for some kinds of jobs only. Errors: forbidden.
result<void> may_create(const call& c) {
  const std::vector<std::string>& kinds = c.who.actions;
  if (kinds.empty() || std::ranges::find(kinds, c.on.creates->name) != kinds.end()) return {};
  std::string allowed;
  for (const std::string& kind : kinds) allowed.append(allowed.empty() ? "" : ", ").append(kind);
  return fail(errc::forbidden, "This account may not create jobs of the kind " +
                                   std::string(c.on.creates->name) + "; allowed: " + allowed);
}

// Nothing was recorded: a retry of this send is no retry of an equal job.
bool is_refusal(const error& e) {
  const int status = e.http_status();
  return status == 503 || status == 429 || status == 507;
}

}  // namespace

awaitable<handled> create_generation(call& c) {
  if (auto within = within_request_limit(c.in, *c.by, true, c.headers); !within) {
    const auto marked = idempotency_of(c, now());
    if (marked && *marked) c.in.sends.refused(c.who.id, **marked, now());
    co_return std::unexpected(std::move(within.error()));
  }
  if (auto allowed = may_create(c); !allowed) co_return std::unexpected(std::move(allowed.error()));
  // 1. What is asked for. A bad request leaves nothing behind, not even its key.
  auto asked = co_await parse(c);
  const timestamp time = now();
  auto idempotency = idempotency_of(c, time);
  if (!asked && is_refusal(asked.error()) && idempotency && *idempotency)
    c.in.sends.refused(c.who.id, **idempotency, time);
  if (!asked) co_return std::unexpected(std::move(asked.error()));
  if (!idempotency) co_return std::unexpected(std::move(idempotency.error()));
  std::optional<idempotency_record>& marked = *idempotency;
  if (marked) marked->stands_alone = c.in.sends.is_retry_of_refused(c.who.id, *marked);

  handled out = co_await create(c, std::move(*asked), marked, time);
  if (!out && marked && is_refusal(out.error())) c.in.sends.refused(c.who.id, *marked, time);
  co_return out;
}

}  // namespace relay::handlers
