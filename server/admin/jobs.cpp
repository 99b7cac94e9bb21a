// The operations about jobs and their callbacks.

#include <algorithm>

#include "common/base/id.hpp"
#include "common/engine/dialect.hpp"
#include "common/engine/explain.hpp"
#include "common/engine/story.hpp"
#include "common/families.hpp"
#include "server/admin/cancelling.hpp"
#include "server/admin/customers.hpp"
#include "server/admin/handlers.hpp"
#include "server/admin/shapes.hpp"
#include "server/await_store.hpp"
#include "server/background/dispatcher.hpp"
#include "server/clock.hpp"
#include "server/usage_report.hpp"

namespace relay::admin {
namespace {

// As the operator sees it: what is lost or held has a name of its own.
std::string_view state_of(const task& t) {
  return is_ambiguous(t) ? "ambiguous" : is_held(t) ? "held" : name_of(t.state);
}

std::string why_of(const admin_context& in, const task& t) {
  return in.submit != nullptr ? explain(t, in.submit->lanes(), now()) : explain(t, {}, now());
}

json::object line_of(const task& t, const admin_call& c, const customers& all) {
  const account* owner = all.find(t.owner);
  const token* with = all.find_token(token_of(t));
  return {{"id", json::string(t.id)},
          {"state", json::string(state_of(t))},
          {"account", json::string(owner == nullptr ? "?" : owner->name)},
          {"token", json::string(with == nullptr ? "?" : with->name)},
          {"action", json::string(t.action->name)},
          {"upstream", json::string(t.upstream)},
          {"upstream_id", json::string(t.upstream_id)},
          {"attempts", t.attempts},
          {"created_at", time_or_null(t.created_at)},
          {"updated_at", time_or_null(t.updated_at)},
          {"fail_reason", json::string(t.fail_reason)},
          {"callbacks_pending", static_cast<std::int64_t>(t.pending_callbacks.size())},
          {"why", json::string(why_of(c.in, t))}};
}

json::value as_json(std::string_view text) {
  auto v = parse_lenient(text);
  return v ? std::move(*v) : json::value(json::string(text));
}

json::array lines_of_story(const task& t) {
  json::array out;
  for (const story_line& l : story_of(t))
    out.emplace_back(json::object{{"at", time_or_null(l.at)}, {"text", json::string(l.text)}});
  return out;
}

json::object whole_of(const task& t, const admin_call& c, const customers& all) {
  json::object out = line_of(t, c, all);
  out["story"] = lines_of_story(t);
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
  return out;
}

// A day begins with its first moment, and ends after its last.
timestamp moment_of(const std::string& text, std::chrono::days of_day) {
  if (const auto day = parse_day(text)) return timestamp(std::chrono::days(*day) + of_day);
  return from_iso(text).value_or(never);
}

// Errors: not_found, conflict, invalid_request.
result<task_filter> filter_of(const admin_call& c, const customers& all) {
  task_filter out;
  const std::string state = c.text("state");
  out.ambiguous = state == "ambiguous";
  out.held = state == "held";
  out.undelivered = state == "undelivered";
  if (!state.empty() && !out.ambiguous && !out.held && !out.undelivered) out.state = task_state_from(state);
  const auto of = whose_of(c.text("account"), c.text("token"), all);
  if (!of) return std::unexpected(of.error());
  out.owner = of->account;
  out.token = of->token;
  out.upstream = c.text("upstream");
  out.action = c.text("action");
  if (!out.action.empty() && !families().has_action(out.action))
    return fail(errc::invalid_request,
                "action: \"" + out.action + "\" is no kind of job; there are " + families().action_names());
  out.since = moment_of(c.text("since"), std::chrono::days(0));
  out.until = moment_of(c.text("until"), std::chrono::days(1));
  out.text = c.text("text");
  out.before = c.number("cursor", out.before);
  out.limit = c.number("limit", shapes::default_items);
  return out;
}

// A page of jobs, each as `show` has it.
template <class Show>
awaitable<admin_result> page_of_jobs(admin_call& c, const customers& all, task_filter filter, Show show) {
  const auto found = co_await from_store(c.in.tasks, &store::browse, filter);
  if (!found) co_return std::unexpected(found.error());
  json::array items;
  for (const task_ptr& t : found->tasks) items.emplace_back(show(*t, c, all));
  json::value next = found->has_more ? json::value(json::string(std::to_string(found->last_row))) : nullptr;
  co_return admin_response{{{"items", std::move(items)}, {"next", std::move(next)}}};
}

// By its id, the beginning of that, or what its upstream calls it. Errors: not_found, conflict.
awaitable<result<task_ptr>> find_job(const admin_context& in, std::string text) {
  auto by_id = co_await load_task(in.tasks, normalise_id(text));
  if (!by_id || *by_id) co_return by_id;
  constexpr std::int64_t most_named = 5;
  auto found = co_await from_store(in.tasks, &store::search, normalise_id(text), most_named);
  // What an upstream calls it is in the upstream's own spelling.
  if (found && found->empty()) found = co_await from_store(in.tasks, &store::search, text, most_named);
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (found->size() == 1) co_return found->front();
  if (found->empty())
    co_return fail(errc::not_found, "there is no task " + text +
                                        ", none whose id begins so, and none that an upstream calls so; "
                                        "`luma-relay task list` shows the newest");
  std::string ids;
  for (const task_ptr& t : *found) ids += (ids.empty() ? "" : ", ") + t->id;
  co_return fail(errc::conflict, "several tasks are meant by " + text + ": " + ids);
}

// An event for one job: the lifecycle decides whether it means anything in this state; `otherwise`: it does
// not.
awaitable<admin_result> apply(admin_call& c, task_event e, std::string (*otherwise)(const task& t)) {
  const auto found = co_await find_job(c.in, c.first);
  if (!found) co_return std::unexpected(found.error());
  const task& t = **found;
  const auto why = [&c](const task& before, const task& after) {
    return c.audit("job/" + before.id, {{"state", json::string(state_of(before))}},
                   {{"state", json::string(state_of(after))}});
  };
  const auto done = co_await c.in.changes.apply(t.id, std::move(e), why);
  if (!done) co_return std::unexpected(done.error());
  if (!done->changed()) co_return fail(errc::conflict, otherwise(*done->after));
  co_return admin_response{{{"id", json::string(t.id)}, {"state", json::string(state_of(*done->after))}}};
}

}  // namespace

awaitable<admin_result> list_jobs(admin_call& c) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const auto filter = filter_of(c, *all);
  if (!filter) co_return std::unexpected(filter.error());
  co_return co_await page_of_jobs(c, *all, *filter, line_of);
}

awaitable<admin_result> get_job(admin_call& c) {
  const auto found = co_await find_job(c.in, c.first);
  if (!found) co_return std::unexpected(found.error());
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  co_return admin_response{whole_of(**found, c, *all)};
}

awaitable<admin_result> cancel_job(admin_call& c) {
  constexpr auto otherwise = [](const task& t) {
    return "task " + t.id + " is " + std::string(state_of(t)) +
           (is_set(t.cancelled_at) ? " and cancelled already"
                                   : "; only one that waits or is being submitted can be cancelled");
  };
  task_event e = event::cancelled{};
  co_return co_await apply(c, std::move(e), otherwise);
}

awaitable<admin_result> release_job(admin_call& c) {
  constexpr auto otherwise = [](const task& t) {
    return "task " + t.id + " is " + std::string(state_of(t)) + "; only a held one can be released";
  };
  task_event e = event::released{};
  co_return co_await apply(c, std::move(e), otherwise);
}

awaitable<admin_result> retry_callback(admin_call& c) {
  constexpr auto otherwise = [](const task& t) {
    return "task " + t.id + " has no callback to send: it is " + std::string(state_of(t)) +
           ", or was created without a callback_url that can be called";
  };
  task_event e = event::callback_requested{};
  co_return co_await apply(c, std::move(e), otherwise);
}

awaitable<admin_result> cancel_jobs(admin_call& c) {
  const std::string account = c.text("account"), token = c.text("token");
  if (c.flag("all") == (!account.empty() || !token.empty()))
    co_return fail(errc::invalid_request, "body: give account, token or both, or all: true");
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const auto of = whose_of(account, token, *all);
  if (!of) co_return std::unexpected(of.error());
  // Before the first of many transactions: what is cut off between them is known to have begun.
  const std::string target = !token.empty()     ? "jobs of token/" + token
                             : !account.empty() ? "jobs of account/" + account
                                                : "jobs";
  const auto why = c.audit(target, {}, {});
  const auto noted = co_await from_store(c.in.tasks, &store::note_change, why);
  if (!noted) co_return std::unexpected(noted.error());
  const auto cancelled = co_await cancel_pending(c.in, *of);
  if (!cancelled) co_return std::unexpected(cancelled.error());
  co_return admin_response{shown(*cancelled)};
}

awaitable<admin_result> release_jobs(admin_call& c) {
  const auto noted = co_await from_store(c.in.tasks, &store::note_change, c.audit("jobs", {}, {}));
  if (!noted) co_return std::unexpected(noted.error());
  const auto released = co_await release_held(c.in);
  if (!released) co_return std::unexpected(released.error());
  co_return admin_response{{{"released", *released}}};
}

awaitable<admin_result> list_callbacks(admin_call& c) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  auto filter = filter_of(c, *all);
  if (!filter) co_return std::unexpected(filter.error());
  filter->undelivered = true;
  co_return co_await page_of_jobs(
      c, *all, *filter, [](const task& t, const admin_call&, const customers& known) {
        const account* owner = known.find(t.owner);
        return json::object{{"job", json::string(t.id)},
                            {"account", json::string(owner == nullptr ? "?" : owner->name)},
                            {"state", json::string(state_of(t))},
                            {"url", json::string(t.callback_url)},
                            {"attempts", t.callback_attempts},
                            {"stopped", t.callback_stopped},
                            {"last_problem", json::string(t.callback_problem)},
                            {"next_at", time_or_null(t.next_callback_at)}};
      });
}

}  // namespace relay::admin
