#include "server/admin_tasks.hpp"

#include <algorithm>

#include "common/base/id.hpp"
#include "common/engine/dialect.hpp"
#include "common/engine/explain.hpp"
#include "server/admin_reply.hpp"
#include "server/await_store.hpp"
#include "server/background/dispatcher.hpp"
#include "server/clock.hpp"
#include "server/wait_group.hpp"

namespace relay {
namespace {

constexpr std::int64_t max_listed = 1'000;
constexpr std::int64_t changed_at_once = 256;
constexpr std::int64_t max_cancelled_at_once = 10'000;

awaitable<> apply_to_one(admin_context in, std::string id, task_event e, std::int64_t& changed,
                         std::optional<error>& failed) {
  const auto done = co_await in.changes.apply(std::move(id), std::move(e));
  if (!done && done.error().code != errc::task_not_found) failed = done.error();
  changed += done && done->changed();
}

// One event for each of them, together, so that they share their transactions; how many it changed.
awaitable<result<std::int64_t>> apply_to_all(admin_context in, std::vector<task_ptr> tasks, task_event e) {
  std::int64_t changed = 0;
  std::optional<error> failed;
  wait_group at_once(in.loop);
  for (const task_ptr& t : tasks) {
    auto work = apply_to_one(in, t->id, e, changed, failed);
    at_once.add(std::move(work));
  }
  co_await at_once.wait();
  if (failed) co_return std::unexpected(std::move(*failed));
  co_return changed;
}

// Those of a restored backup; they stand in no queue. A page at a time, as each one leaves the state.
awaitable<result<std::int64_t>> apply_to_held(admin_context in, whose of, task_event e) {
  task_filter filter;
  filter.held = true;
  filter.owner = of.account;
  filter.token = of.token;
  filter.limit = changed_at_once;
  for (std::int64_t sum = 0;;) {
    auto held = co_await from_store(in.tasks, &store::browse, filter);
    if (!held) co_return std::unexpected(held.error());
    const auto changed = co_await apply_to_all(in, std::move(*held), e);
    if (!changed) co_return changed;
    sum += *changed;
    if (*changed == 0) co_return sum;
  }
}

// Those that wait in one queue. How many it changed.
awaitable<result<std::int64_t>> cancel_queue(admin_context in, submit_queue q,
                                             std::optional<std::int64_t> token) {
  std::int64_t sum = 0;
  for (schedule_cursor after;;) {
    auto page = co_await from_store(in.tasks, &store::pending, q, after, changed_at_once);
    if (!page) co_return std::unexpected(page.error());
    if (token) std::erase_if(page->tasks, [&](const task_ptr& t) { return token_of(*t) != *token; });
    task_event e = event::cancelled{};
    const auto changed = co_await apply_to_all(in, std::move(page->tasks), std::move(e));
    if (!changed) co_return changed;
    sum += *changed;
    if (page->rows < changed_at_once) co_return sum;
    after = page->last;
  }
}

// As the operator sees it: what is lost or held has a name of its own.
std::string_view state_of(const task& t) {
  return is_ambiguous(t) ? "ambiguous" : is_held(t) ? "held" : name_of(t.state);
}

std::string why_of(const admin_context& in, const task& t) {
  return in.submit != nullptr ? explain(t, in.submit->lanes(), now()) : explain(t, {}, now());
}

json::object line_of(const task& t, const customers& all) {
  const account* owner = all.find(t.owner);
  const auto with = std::ranges::find(all.tokens, token_of(t), &token::id);
  return {{"id", json::string(t.id)},
          {"state", json::string(state_of(t))},
          {"account", json::string(owner == nullptr ? "?" : owner->name)},
          {"token", json::string(with == all.tokens.end() ? "?" : with->name)},
          {"upstream", json::string(t.upstream)},
          {"upstream_id", json::string(t.upstream_id)},
          {"attempts", t.attempts},
          {"created_at", time_or_null(t.created_at)},
          {"updated_at", time_or_null(t.updated_at)},
          {"fail_reason", json::string(t.fail_reason)},
          {"callbacks_pending", static_cast<std::int64_t>(t.pending_callbacks.size())}};
}

// `account` and `token` of a command, by name.
result<whose> whose_of(const json::object& o, const customers& all) {
  whose out;
  if (const auto name = text_of(o, "account"); !name.empty()) {
    auto found = account_named(all, name);
    if (!found) return std::unexpected(std::move(found.error()));
    out.account = found->id;
  }
  if (std::string name(text_of(o, "token")); !name.empty()) {
    if (out.account && !name.contains('/')) name = std::string(text_of(o, "account")) + "/" + name;
    auto found = token_named(all, name, true);
    if (!found) return std::unexpected(std::move(found.error()));
    if (out.account && found->account != *out.account)
      return fail(errc::invalid_request, "the token " + name + " is of another account");
    out.token = found->id;
    out.account = found->account;
  }
  return out;
}

// What `task list` searches for. Errors: invalid_request.
result<task_filter> filter_of(const json::object& o, const customers& all) {
  task_filter filter;
  if (const auto state = text_of(o, "state"); state == "ambiguous") {
    filter.ambiguous = true;
  } else if (state == "held") {
    filter.held = true;
  } else if (state == "undelivered") {
    filter.undelivered = true;
  } else if (!state.empty()) {
    filter.state = task_state_from(state);
    if (!filter.state) {
      return fail(
          errc::invalid_request,
          "--state must be pending, submitting, ambiguous, held, queued, running, completed, failed or "
          "undelivered");
    }
  }
  auto of = whose_of(o, all);
  if (!of) return std::unexpected(std::move(of.error()));
  filter.owner = of->account;
  filter.token = of->token;
  if (const json::value* limit = member(o, "limit"); limit != nullptr && limit->is_int64())
    filter.limit = std::clamp<std::int64_t>(limit->get_int64(), 1, max_listed);
  return filter;
}

json::value as_json(std::string_view text) {
  auto v = parse_lenient(text);
  return v ? std::move(*v) : json::value(json::string(text));
}

json::object show_task(const task& t, const customers& all, const std::string& why) {
  json::object out = line_of(t, all);
  out["why"] = json::string(why);
  out["action"] = json::string(t.action->name);
  out["dialect"] = json::string(t.dialect->name);
  out["request"] = as_json(t.request);
  out["progress"] = t.progress;
  out["fail_status"] = t.fail_status;
  out["polls_without_response"] = t.misses;
  out["callback"] = {{"url", json::string(t.callback_url)},
                     {"pending", json::string(t.pending_callbacks)},
                     {"done", t.callbacks_done},
                     {"attempts", t.callback_attempts},
                     {"stopped", t.callback_stopped},
                     {"last_problem", json::string(t.callback_problem)},
                     {"next_at", time_or_null(t.next_callback_at)}};
  out["attempt_id"] = json::string(t.attempt_id);
  out["attempted_at"] = time_or_null(t.attempted_at);
  out["ambiguous_at"] = time_or_null(t.ambiguous_at);
  out["cancelled_at"] = time_or_null(t.cancelled_at);
  out["started_at"] = time_or_null(t.started_at);
  out["finished_at"] = time_or_null(t.finished_at);
  out["deadline"] = time_or_null(t.deadline);
  out["next_submit_at"] = time_or_null(t.next_submit_at);
  out["next_poll_at"] = time_or_null(t.next_poll_at);
  out["next_reconcile_at"] = time_or_null(t.next_reconcile_at);
  out["revision"] = t.revision;
  out["upstream_reply"] = as_json(t.reply);
  return {{"ok", true}, {"task", std::move(out)}};
}

awaitable<json::object> apply(admin_context in, std::string id, task_event e, std::string otherwise) {
  const auto done = co_await in.changes.apply(id, std::move(e));
  if (!done) co_return failure(done.error().log.text);
  if (!done->changed()) co_return failure(otherwise);
  co_return json::object{
      {"ok", true}, {"id", json::string(id)}, {"state", json::string(state_of(*done->after))}};
}

}  // namespace

json::object report(const cancelled_jobs& c) {
  return {{"ok", true}, {"cancelled", c.pending}, {"submitting", c.submitting}};
}

// A job may go out, or come back refused, while others are looked at: until a whole round finds nothing.
awaitable<result<cancelled_jobs>> cancel_pending(admin_context in, whose of) {
  cancelled_jobs out;
  for (std::int64_t found = 1; found > 0;) {
    found = 0;
    task_filter sending;
    sending.state = task_state::submitting;
    sending.owner = of.account;
    sending.token = of.token;
    sending.limit = max_cancelled_at_once;
    auto tasks = co_await from_store(in.tasks, &store::browse, sending);
    if (!tasks) co_return std::unexpected(tasks.error());
    task_event e = event::cancelled{};
    const auto marked = co_await apply_to_all(in, std::move(*tasks), std::move(e));
    if (!marked) co_return std::unexpected(marked.error());
    out.submitting += *marked;
    found += *marked;

    const auto queues = co_await from_store(in.tasks, &store::submit_queues);
    if (!queues) co_return std::unexpected(queues.error());
    for (const submit_queue& q : *queues) {
      if (of.account && q.owner != *of.account) continue;
      const auto ended = co_await cancel_queue(in, q, of.token);
      if (!ended) co_return std::unexpected(ended.error());
      out.pending += *ended;
      found += *ended;
    }
  }
  task_event e = event::cancelled{};
  const auto held = co_await apply_to_held(in, of, std::move(e));
  if (!held) co_return std::unexpected(held.error());
  out.pending += *held;
  co_return out;
}

awaitable<json::object> release_all(admin_context in) {
  task_event e = event::released{};
  const auto released = co_await apply_to_held(in, {}, std::move(e));
  if (!released) co_return failure(released.error().log.text);
  co_return json::object{{"ok", true}, {"released", *released}};
}

awaitable<json::object> list_tasks(admin_context in, json::object o) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  const auto filter = filter_of(o, *all);
  if (!filter) co_return failure(filter.error().log.text);
  const auto tasks = co_await from_store(in.tasks, &store::browse, *filter);
  if (!tasks) co_return failure(tasks.error().log.text);
  json::array list;
  for (const task_ptr& t : *tasks) {
    json::object line = line_of(*t, *all);
    line["why"] = json::string(why_of(in, *t));
    list.emplace_back(std::move(line));
  }
  co_return json::object{{"ok", true}, {"tasks", std::move(list)}};
}

awaitable<result<task_ptr>> find_job(admin_context in, std::string text) {
  auto by_id = co_await load_task(in.tasks, normalise_id(text));
  if (!by_id || *by_id) co_return by_id;
  constexpr std::int64_t most_named = 5;
  auto found = co_await from_store(in.tasks, &store::search, normalise_id(text), most_named);
  // What an upstream calls it is in the upstream's own spelling.
  if (found && found->empty()) found = co_await from_store(in.tasks, &store::search, text, most_named);
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (found->size() == 1) co_return found->front();
  if (found->empty())
    co_return fail(errc::task_not_found, "there is no task " + text +
                                             ", none whose id begins so, and none that an upstream calls so; "
                                             "`luma-relay task list` shows the newest");
  std::string ids;
  for (const task_ptr& t : *found) ids += (ids.empty() ? "" : ", ") + t->id;
  co_return fail(errc::invalid_request, "several tasks are meant by " + text + ": " + ids);
}

awaitable<json::object> with_task(admin_context in, std::string command, std::string id) {
  auto found = co_await find_job(in, std::move(id));
  if (!found) co_return failure(found.error().log.text);
  const task_ptr t = std::move(*found);
  if (command == "task-show") {
    const auto all = co_await read_customers(in.tasks);
    if (!all) co_return failure(all.error().log.text);
    co_return show_task(*t, *all, why_of(in, *t));
  }
  // The others are events: the lifecycle decides whether they mean anything in this state.
  const std::string state(state_of(*t));
  if (command == "task-release") {
    task_event e = event::released{};
    co_return co_await apply(in, t->id, std::move(e),
                             "task " + t->id + " is " + state + "; only a held one can be released");
  }
  if (command == "task-cancel-pending") {
    task_event e = event::cancelled{};
    co_return co_await apply(
        in, t->id, std::move(e),
        "task " + t->id + " is " + state +
            (is_set(t->cancelled_at) ? " and cancelled already"
                                     : "; only one that waits or is being submitted can be cancelled"));
  }
  task_event e = event::callback_requested{};
  co_return co_await apply(in, t->id, std::move(e),
                           "task " + t->id + " has no callback to send: it is " + state +
                               ", or was created without a callback_url that can be called");
}

awaitable<json::object> cancel_all_pending(admin_context in, json::object o) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  const auto of = whose_of(o, *all);
  if (!of) co_return failure(of.error().log.text);
  const auto cancelled = co_await cancel_pending(in, *of);
  if (!cancelled) co_return failure(cancelled.error().log.text);
  co_return report(*cancelled);
}

}  // namespace relay
