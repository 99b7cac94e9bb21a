#include "server/admin_commands.hpp"

#include <algorithm>

#include "common/base/id.hpp"
#include "common/engine/dialect.hpp"
#include "common/engine/webhook_signature.hpp"
#include "server/admin_upstreams.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/wait_group.hpp"

namespace relay {
namespace {

constexpr std::int64_t max_listed = 1'000;
constexpr std::int64_t changed_at_once = 256;
constexpr std::int64_t max_cancelled_at_once = 10'000;

json::object failure(std::string_view message) {
  return {{"ok", false}, {"message", json::string(message)}};
}

json::value time_or_null(timestamp t) {
  return is_set(t) ? json::value(json::string(to_iso(t, precision::milliseconds))) : json::value(nullptr);
}

secret new_webhook_secret() {
  std::string bytes(webhook_secret_bytes, '\0');
  fill_random({reinterpret_cast<unsigned char*>(bytes.data()), bytes.size()});
  return secret(std::move(bytes));
}

awaitable<json::object> create_token(admin_context in, std::string name) {
  if (!valid_token_name(name)) co_return failure("--name must be 1 to 64 letters, digits or any of . _ - @");
  std::array<unsigned char, token_entropy_bytes> random;
  fill_random(random);
  // Only its digest is kept; the text leaves here once, in this response.
  const std::string text = make_token(random);
  token t;
  t.name = std::move(name);
  t.digest = sha256(text);
  t.hint = text.substr(text.size() - 4);
  t.created_at = now();
  t.webhook = new_webhook_secret();
  auto made = co_await from_store(in.tasks, &store::insert_token, std::move(t));
  if (!made) co_return failure(made.error().log.text);
  // On disk: from here on it is accepted.
  in.registry.add(*made);
  co_return json::object{{"ok", true}, {"token", json::string(text)}, {"name", json::string(made->name)}};
}

// The token in force with a name.
awaitable<result<token>> token_named(store& s, std::string name) {
  const auto all = co_await from_store(s, &store::tokens);
  if (!all) co_return std::unexpected(all.error());
  const auto found =
      std::ranges::find_if(*all, [&](const token& t) { return t.name == name && !t.revoked(); });
  if (found == all->end())
    co_return fail(errc::task_not_found,
                   "there is no token named \"" + name + "\" in force; `luma-relay token list` shows them");
  co_return *found;
}

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

// Those of a restored backup, of one token or of all; they stand in no queue. A page at a time, as each one
// leaves the state.
awaitable<result<std::int64_t>> apply_to_held(admin_context in, std::optional<std::int64_t> owner,
                                              task_event e) {
  task_filter filter;
  filter.held = true;
  filter.owner = owner;
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

// What was cancelled.
struct cancelled_jobs {
  std::int64_t pending = 0;
  std::int64_t submitting = 0;  // they end, unless an upstream has them
};
json::object report(const cancelled_jobs& c) {
  return {{"ok", true}, {"cancelled", c.pending}, {"submitting", c.submitting}};
}

// Those that wait in one queue. How many it changed.
awaitable<result<std::int64_t>> cancel_queue(admin_context in, submit_queue q) {
  std::int64_t sum = 0;
  for (schedule_cursor after;;) {
    auto page = co_await from_store(in.tasks, &store::pending, q, after, changed_at_once);
    if (!page) co_return std::unexpected(page.error());
    task_event e = event::cancelled{};
    const auto changed = co_await apply_to_all(in, std::move(page->tasks), std::move(e));
    if (!changed) co_return changed;
    sum += *changed;
    if (page->rows < changed_at_once) co_return sum;
    after = page->last;
  }
}

// What is not at an upstream, of one token or of all. A job may go out, or come back refused, while others
// are looked at: until a whole round finds nothing.
awaitable<result<cancelled_jobs>> cancel_pending(admin_context in, std::optional<std::int64_t> owner) {
  cancelled_jobs out;
  for (std::int64_t found = 1; found > 0;) {
    found = 0;
    task_filter sending;
    sending.state = task_state::submitting;
    sending.owner = owner;
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
      if (owner && q.owner != *owner) continue;
      const auto ended = co_await cancel_queue(in, q);
      if (!ended) co_return std::unexpected(ended.error());
      out.pending += *ended;
      found += *ended;
    }
  }
  task_event e = event::cancelled{};
  const auto held = co_await apply_to_held(in, owner, std::move(e));
  if (!held) co_return std::unexpected(held.error());
  out.pending += *held;
  co_return out;
}

awaitable<json::object> release_all(admin_context in) {
  task_event e = event::released{};
  const auto released = co_await apply_to_held(in, std::nullopt, std::move(e));
  if (!released) co_return failure(released.error().log.text);
  co_return json::object{{"ok", true}, {"released", *released}};
}

// Requests are refused first, then what waits is cancelled, then it is revoked on disk: cut off in between,
// it is in force after a restart, and the command can be given again. A create that was being recorded
// meanwhile is on disk by then: what waits is looked at once more.
awaitable<json::object> revoke_token(admin_context in, std::string name, bool keep_pending) {
  const auto found = co_await token_named(in.tasks, name);
  if (!found) co_return failure(found.error().log.text);
  in.registry.remove(*found);
  cancelled_jobs cancelled;
  if (!keep_pending) {
    const auto stopped = co_await cancel_pending(in, found->id);
    if (!stopped) {
      in.registry.add(*found);
      co_return failure(stopped.error().log.text);
    }
    cancelled = *stopped;
  }
  const auto gone = co_await from_store(in.tasks, &store::revoke_token, name, now());
  if (!gone) {
    in.registry.add(*found);
    co_return failure(gone.error().log.text);
  }
  if (!keep_pending) {
    const auto rest = co_await cancel_pending(in, found->id);
    if (!rest) co_return failure(rest.error().log.text);
    cancelled.pending += rest->pending;
    cancelled.submitting += rest->submitting;
  }
  co_return report(cancelled);
}

// The same customer with another secret: jobs, name and webhook secret stay.
awaitable<json::object> rotate_token(admin_context in, std::string name, std::chrono::seconds grace) {
  std::array<unsigned char, token_entropy_bytes> random;
  fill_random(random);
  const std::string text = make_token(random);
  // A secret before the one that is replaced, which still works, ends: there are two at most.
  const auto before = co_await token_named(in.tasks, name);
  if (!before) co_return failure(before.error().log.text);
  const timestamp cut_short = before->old_ends_at > now() ? before->old_ends_at : never;
  new_secret with;
  with.digest = sha256(text);
  with.hint = text.substr(text.size() - 4);
  with.old_ends_at = now() + grace;
  const auto rotated = co_await from_store(in.tasks, &store::rotate_token, std::move(name), with);
  if (!rotated) co_return failure(rotated.error().log.text);
  in.registry.rotate(*rotated);
  co_return json::object{{"ok", true},
                         {"token", json::string(text)},
                         {"old_ends_at", json::string(to_iso(rotated->old_ends_at, precision::milliseconds))},
                         {"ended_before", time_or_null(cut_short)}};
}

awaitable<json::object> list_tokens(store& s) {
  const auto all = co_await from_store(s, &store::tokens);
  if (!all) co_return failure(all.error().log.text);
  json::array list;
  for (const token& t : *all) {
    list.emplace_back(json::object{
        {"name", json::string(t.name)},
        {"hint", json::string(t.hint)},
        {"created_at", json::string(to_iso(t.created_at, precision::milliseconds))},
        {"revoked_at", time_or_null(t.revoked_at)},
        {"old_ends_at", time_or_null(!t.revoked() && t.old_ends_at > now() ? t.old_ends_at : never)}});
  }
  co_return json::object{{"ok", true}, {"tokens", std::move(list)}};
}

// The secret that signs a token's callbacks, as its owner's verifier wants it; a new one when asked to
// rotate.
awaitable<json::object> webhook_secret(store& s, std::string name, bool rotate) {
  if (rotate) {
    auto changed = co_await from_store(s, &store::set_webhook_secret, name, new_webhook_secret());
    if (!changed) co_return failure(changed.error().log.text);
    co_return json::object{{"ok", true}, {"secret", json::string(webhook_secret_text(changed->webhook))}};
  }
  const auto found = co_await token_named(s, name);
  if (!found) co_return failure(found.error().log.text);
  co_return json::object{{"ok", true}, {"secret", json::string(webhook_secret_text(found->webhook))}};
}

// As the operator sees it: what is lost or held has a name of its own.
std::string_view state_of(const task& t) {
  return is_ambiguous(t) ? "ambiguous" : is_held(t) ? "held" : name_of(t.state);
}

json::object line_of(const task& t, const std::vector<token>& tokens) {
  const auto owner = std::ranges::find(tokens, t.owner, &token::id);
  return {{"id", json::string(t.id)},
          {"state", json::string(state_of(t))},
          {"token", json::string(owner == tokens.end() ? "?" : owner->name)},
          {"upstream", json::string(t.upstream)},
          {"upstream_id", json::string(t.upstream_id)},
          {"attempts", t.attempts},
          {"created_at", time_or_null(t.created_at)},
          {"updated_at", time_or_null(t.updated_at)},
          {"fail_reason", json::string(t.fail_reason)},
          {"callbacks_pending", static_cast<std::int64_t>(t.pending_callbacks.size())}};
}

// The one in force; else the last that had the name; null: there is none.
const token* last_named(const std::vector<token>& tokens, std::string_view name) {
  const token* found = nullptr;
  for (const token& t : tokens) {
    if (t.name == name && (found == nullptr || found->revoked())) found = &t;
  }
  return found;
}

// What `task list` searches for. Errors: invalid_request.
result<task_filter> filter_of(const json::object& o, const std::vector<token>& tokens) {
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
  if (const auto name = text_of(o, "token"); !name.empty()) {
    const token* found = last_named(tokens, name);
    if (found == nullptr)
      return fail(errc::invalid_request, "there is no token named \"" + std::string(name) + "\"");
    filter.owner = found->id;
  }
  if (const json::value* limit = member(o, "limit"); limit != nullptr && limit->is_int64())
    filter.limit = std::clamp<std::int64_t>(limit->get_int64(), 1, max_listed);
  return filter;
}

awaitable<json::object> list_tasks(store& s, json::object o) {
  const auto tokens = co_await from_store(s, &store::tokens);
  if (!tokens) co_return failure(tokens.error().log.text);
  const auto filter = filter_of(o, *tokens);
  if (!filter) co_return failure(filter.error().log.text);
  const auto tasks = co_await from_store(s, &store::browse, *filter);
  if (!tasks) co_return failure(tasks.error().log.text);
  json::array list;
  for (const task_ptr& t : *tasks) list.emplace_back(line_of(*t, *tokens));
  co_return json::object{{"ok", true}, {"tasks", std::move(list)}};
}

json::value as_json(std::string_view text) {
  auto v = parse_lenient(text);
  return v ? std::move(*v) : json::value(json::string(text));
}

json::object show_task(const task& t, const std::vector<token>& tokens) {
  json::object out = line_of(t, tokens);
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

awaitable<json::object> with_task(admin_context in, std::string command, std::string id) {
  auto loaded = co_await load_task(in.tasks, normalise_id(id));
  if (!loaded) co_return failure(loaded.error().log.text);
  const task_ptr t = std::move(*loaded);
  if (!t) co_return failure("there is no task " + id + "; `luma-relay task list` shows the newest");
  if (command == "task-show") {
    const auto tokens = co_await from_store(in.tasks, &store::tokens);
    if (!tokens) co_return failure(tokens.error().log.text);
    co_return show_task(*t, *tokens);
  }
  // The others are events: the lifecycle decides whether they mean anything in this state.
  const std::string state(state_of(*t));
  if (command == "task-release") {
    task_event e = event::released{};
    co_return co_await apply(in, t->id, std::move(e),
                             "task " + id + " is " + state + "; only a held one can be released");
  }
  if (command == "task-cancel-pending") {
    task_event e = event::cancelled{};
    co_return co_await apply(
        in, t->id, std::move(e),
        "task " + id + " is " + state +
            (is_set(t->cancelled_at) ? " and cancelled already"
                                     : "; only one that waits or is being submitted can be cancelled"));
  }
  task_event e = event::callback_requested{};
  co_return co_await apply(in, t->id, std::move(e),
                           "task " + id + " has no callback to send: it is " + state +
                               ", or was created without a callback_url that can be called");
}

awaitable<json::object> cancel_all_pending(admin_context in, std::string token_name) {
  std::optional<std::int64_t> owner;
  if (!token_name.empty()) {
    const auto tokens = co_await from_store(in.tasks, &store::tokens);
    if (!tokens) co_return failure(tokens.error().log.text);
    const token* found = last_named(*tokens, token_name);
    if (found == nullptr)
      co_return failure("there is no token named \"" + token_name + "\"; `luma-relay token list` shows them");
    owner = found->id;
  }
  const auto cancelled = co_await cancel_pending(in, owner);
  if (!cancelled) co_return failure(cancelled.error().log.text);
  co_return report(*cancelled);
}

std::int64_t number_of(const json::object& o, std::string_view key) {
  const json::value* v = member(o, key);
  return v != nullptr && v->is_int64() ? v->get_int64() : 0;
}
bool flag_of(const json::object& o, std::string_view key) {
  const json::value* v = member(o, key);
  return v != nullptr && v->is_bool() && v->get_bool();
}

}  // namespace

awaitable<json::object> run_admin_command(admin_context in, json::value request) {
  const json::object none;
  const json::object& o = request.is_object() ? request.get_object() : none;
  const std::string command(text_of(o, "command"));
  const std::string id(text_of(o, "id"));
  const std::string name(text_of(o, "name"));
  if (command == "token-list") co_return co_await list_tokens(in.tasks);
  if (command == "token-create") co_return co_await create_token(in, name);
  if (command == "token-revoke") co_return co_await revoke_token(in, name, flag_of(o, "keep_pending"));
  if (command == "token-rotate")
    co_return co_await rotate_token(in, name, std::chrono::seconds(number_of(o, "grace_s")));
  if (command == "webhook-secret") co_return co_await webhook_secret(in.tasks, name, flag_of(o, "rotate"));
  if (command == "task-list") co_return co_await list_tasks(in.tasks, o);
  if (command == "task-cancel-all-pending")
    co_return co_await cancel_all_pending(in, std::string(text_of(o, "token")));
  if (command == "task-release-all") co_return co_await release_all(in);
  if (command == "upstream-list") co_return list_upstreams(in);
  if (command == "upstream-pause") co_return co_await set_upstream_mode(in, name, lane_mode::paused);
  if (command == "upstream-resume") co_return co_await set_upstream_mode(in, name, lane_mode::open);
  if (command == "upstream-drain") co_return co_await set_upstream_mode(in, name, lane_mode::draining);
  if (command == "reload") co_return co_await reload(in);
  if (command == "task-show" || command == "task-release" || command == "task-cancel-pending" ||
      command == "task-retry-callback")
    co_return co_await with_task(in, command, id);
  co_return failure("the server does not know the command \"" + command + "\"; it may be another version");
}

}  // namespace relay
