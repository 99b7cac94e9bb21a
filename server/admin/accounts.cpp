// The operations about accounts.

#include <algorithm>

#include "common/engine/webhook_signature.hpp"
#include "common/families.hpp"
#include "server/admin/cancelling.hpp"
#include "server/admin/customers.hpp"
#include "server/admin/handlers.hpp"
#include "server/admin/secrets.hpp"
#include "server/admin/shapes.hpp"
#include "server/await_store.hpp"
#include "server/billing.hpp"
#include "server/clock.hpp"

namespace relay::admin {
namespace {

std::string target_of(const account& a) {
  return "account/" + a.name;
}

std::string etag_of(const account& a) {
  return "\"" + std::to_string(a.id) + "-" + std::to_string(a.revision) + "\"";
}

// What an operator can change, as the audit table has it.
json::object settings_of(const account& a) {
  return {
      {"name", json::string(a.name)},       {"enabled", a.enabled},         {"note", json::string(a.note)},
      {"contact", json::string(a.contact)}, {"weight", a.weight},           {"limits", shown(a.limits)},
      {"actions", as_array(a.actions)},     {"models", as_array(a.models)}, {"prepaid", a.prepaid},
      {"group", json::string(a.group)}};
}

json::object line_of(const account& a, std::int64_t tokens, const task_counts& counts) {
  const task_counts::customer jobs = counts.of(a.id);
  json::object out{{"id", a.id}};
  for (const auto& [key, value] : settings_of(a)) out[key] = value;
  out["tokens"] = tokens;
  out["open_jobs"] = jobs.open;
  out["pending_jobs"] = jobs.pending;
  out["created_at"] = time_or_null(a.created_at);
  return out;
}

// One account, as it is on disk now, with what it has.
awaitable<admin_result> show(admin_call& c, std::int64_t id) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const account* a = all->find(id);
  if (a == nullptr) co_return fail(errc::not_found, "there is no such account any more");
  const auto has = co_await from_store(c.in.tasks, &store::balance, id);
  if (!has) co_return std::unexpected(has.error());
  admin_response out;
  out.body = line_of(*a, all->tokens_in_force()[id], c.in.tasks.counts());
  out.body["balance"] = json::string(to_text(has->balance));
  out.body["held"] = json::string(to_text(has->held));
  out.body["left"] = json::string(to_text(has->left()));
  out.body["currency"] = json::string(c.in.prices.currency());
  out.body["group_is_known"] = c.in.prices.knows_group(a->group);
  out.etag = etag_of(*a);
  co_return out;
}

// Its prices would be those of no group in silence; a kind that nobody knows would be no kind at all.
result<void> check_words(const admin_call& c) {
  const std::string group = c.text("group");
  if (!group.empty() && !c.in.prices.knows_group(group))
    return fail(errc::invalid_request, "group: there is no [[group]] \"" + group + "\" in the configuration");
  const json::value* kinds = member(c.body, "actions");
  if (kinds == nullptr) return {};
  for (const std::string& kind : texts_of(*kinds)) {
    if (!families().has_action(kind))
      return fail(errc::invalid_request,
                  "actions: \"" + kind + "\" is no kind of job; there are " + families().action_names());
  }
  return {};
}

// What the body says; the rest stays.
void apply_changes(account& a, const json::object& to) {
  const auto text = [&to](std::string_view key, std::string& into) {
    if (const json::value* v = member(to, key)) into = view(v->as_string());
  };
  text("name", a.name);
  text("note", a.note);
  text("contact", a.contact);
  text("group", a.group);
  if (const json::value* v = member(to, "weight")) a.weight = static_cast<int>(v->as_int64());
  if (const json::value* v = member(to, "actions")) a.actions = texts_of(*v);
  if (const json::value* v = member(to, "models")) a.models = texts_of(*v);
  if (const json::value* v = member(to, "prepaid")) a.prepaid = v->as_bool();
  if (const json::value* v = member(to, "limits")) set_limits(a.limits, v->as_object());
}

awaitable<admin_result> save(admin_call& c, const account& before, account after) {
  const auto why = c.audit(target_of(before), settings_of(before), settings_of(after));
  const auto saved = co_await from_store(c.in.tasks, &store::write_account, std::move(after), why);
  if (!saved) co_return std::unexpected(saved.error());
  c.in.registry.put(*saved);
  co_return co_await show(c, saved->id);
}

}  // namespace

awaitable<result<account>> account_of(admin_call& c) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  auto found = account_named(*all, c.first);
  if (!found) co_return found;
  if (auto same = check_match(c, etag_of(*found)); !same) co_return std::unexpected(std::move(same.error()));
  co_return found;
}

awaitable<admin_result> list_accounts(admin_call& c) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const task_counts& counts = c.in.tasks.counts();
  auto tokens = all->tokens_in_force();
  co_return admin_response{
      page_of(all->accounts, c.number("cursor", 0), c.number("limit", shapes::default_items),
              [&](const account& a) { return std::optional(line_of(a, tokens[a.id], counts)); })};
}

awaitable<admin_result> get_account(admin_call& c) {
  const auto found = co_await account_of(c);
  if (!found) co_return std::unexpected(found.error());
  co_return co_await show(c, found->id);
}

awaitable<admin_result> create_account(admin_call& c) {
  if (auto known = check_words(c); !known) co_return std::unexpected(std::move(known.error()));
  account a;
  apply_changes(a, c.body);
  a.webhook = new_webhook_secret();
  a.created_at = now();
  const auto why = c.audit(target_of(a), {}, settings_of(a));
  const auto made = co_await from_store(c.in.tasks, &store::write_account, std::move(a), why);
  if (!made) co_return std::unexpected(made.error());
  c.in.registry.put(*made);
  auto out = co_await show(c, made->id);
  if (out) out->location = std::string(admin_prefix) + "/accounts/" + made->name;
  co_return out;
}

awaitable<admin_result> change_account(admin_call& c) {
  if (auto known = check_words(c); !known) co_return std::unexpected(std::move(known.error()));
  const auto found = co_await account_of(c);
  if (!found) co_return std::unexpected(found.error());
  account changed = *found;
  apply_changes(changed, c.body);
  co_return co_await save(c, *found, std::move(changed));
}

awaitable<admin_result> enable_account(admin_call& c) {
  const auto found = co_await account_of(c);
  if (!found) co_return std::unexpected(found.error());
  account enabled = *found;
  enabled.enabled = true;
  co_return co_await save(c, *found, std::move(enabled));
}

// Requests are refused first, then what waits is cancelled, then it is disabled on disk: cut off in between,
// it is enabled after a restart, and the request can be sent again. A create that was being recorded
// meanwhile is on disk by then: what waits is looked at once more.
awaitable<admin_result> disable_account(admin_call& c) {
  const auto found = co_await account_of(c);
  if (!found) co_return std::unexpected(found.error());
  account disabled = *found;
  disabled.enabled = false;
  const auto why = c.audit(target_of(*found), settings_of(*found), settings_of(disabled));
  const auto noted = co_await from_store(c.in.tasks, &store::note_change, why);
  if (!noted) co_return std::unexpected(noted.error());
  c.in.registry.put(disabled);
  const whose of{found->id, std::nullopt};
  auto stopped = co_await cancel_unless(c.flag("keep_pending"), c.in, of);
  result<account> saved = std::unexpected(stopped ? error{} : stopped.error());
  if (stopped) saved = co_await from_store(c.in.tasks, &store::write_account, disabled, audit_ptr{});
  // What is known in memory follows what is on disk, whatever came of it.
  auto on_disk = co_await from_store(c.in.tasks, &store::account_by_id, found->id);
  if (on_disk && *on_disk) c.in.registry.put(**on_disk);
  if (!saved) co_return std::unexpected(saved.error());
  const auto rest = co_await cancel_unless(c.flag("keep_pending"), c.in, of);
  if (!rest) co_return std::unexpected(rest.error());
  *stopped += *rest;
  co_return admin_response{shown(*stopped)};
}

awaitable<admin_result> get_webhook_secret(admin_call& c) {
  const auto found = co_await account_of(c);
  if (!found) co_return std::unexpected(found.error());
  co_return admin_response{{{"secret", json::string(webhook_secret_text(found->webhook))}}};
}

awaitable<admin_result> rotate_webhook_secret(admin_call& c) {
  const auto found = co_await account_of(c);
  if (!found) co_return std::unexpected(found.error());
  account changed = *found;
  changed.webhook = new_webhook_secret();
  auto saved = co_await save(c, *found, changed);
  if (!saved) co_return saved;
  co_return admin_response{{{"secret", json::string(webhook_secret_text(changed.webhook))}}};
}

}  // namespace relay::admin
