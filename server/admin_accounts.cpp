#include "server/admin_accounts.hpp"

#include <algorithm>
#include <array>

#include "common/base/addresses.hpp"
#include "common/engine/webhook_signature.hpp"
#include "common/families.hpp"
#include "server/admin_money.hpp"
#include "server/admin_reply.hpp"
#include "server/admin_tasks.hpp"
#include "server/await_store.hpp"
#include "server/billing.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/usage_report.hpp"

namespace relay {
namespace {

constexpr std::string_view name_rule = "the name of an account has 1 to 64 letters, digits or any of . _ - @";

constexpr std::string_view token_name_rule = "--name must be 1 to 64 letters, digits or any of . _ - @";

secret new_webhook_secret() {
  std::string bytes(webhook_secret_bytes, '\0');
  fill_random({reinterpret_cast<unsigned char*>(bytes.data()), bytes.size()});
  return secret(std::move(bytes));
}

// A secret, as it is shown once, and what is kept of it.
struct made_secret {
  std::string text;
  sha256_digest digest{};
  std::string hint;
};
made_secret make_secret() {
  std::array<unsigned char, token_entropy_bytes> random;
  fill_random(random);
  made_secret out;
  out.text = make_token(random);
  out.digest = sha256(out.text);
  out.hint = out.text.substr(out.text.size() - 4);
  return out;
}

std::unexpected<error> wrong(std::string what) {
  return fail(errc::invalid_request, std::move(what));
}

std::string names_of_limits() {
  std::string out;
  for (const limit_name& l : limit_names) out.append(out.empty() ? "" : ", ").append(l.name);
  return out;
}

// A member that is there must be text. Errors: invalid_request.
result<std::optional<std::string>> text_if_any(const json::object& o, std::string_view key,
                                               std::size_t most) {
  const json::value* v = member(o, key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_string()) return wrong(std::string(key) + " must be text");
  std::string text(view(v->get_string()));
  if (text.size() > most) return wrong(std::string(key) + " may have " + std::to_string(most) + " bytes");
  return text;
}

result<std::vector<std::string>> texts_of(const json::value& v, std::string_view key) {
  std::vector<std::string> out;
  if (!v.is_array()) return wrong(std::string(key) + " must be a list");
  for (const json::value& item : v.get_array()) {
    if (!item.is_string()) return wrong(std::string(key) + " must be a list of texts");
    out.emplace_back(view(item.get_string()));
  }
  return out;
}

using said_limits = std::map<std::string, std::optional<std::int64_t>>;

// `"limits":{"open":50,"pending":null}`
result<said_limits> limits_from(const json::object& o) {
  said_limits out;
  const json::value* v = member(o, "limits");
  if (v == nullptr) return out;
  if (!v->is_object()) return wrong("limits must be an object");
  for (const auto& [key, value] : v->get_object()) {
    if (std::ranges::find(limit_names, std::string_view(key), &limit_name::name) == limit_names.end())
      return wrong("there is no limit \"" + std::string(key) + "\"; there are " + names_of_limits());
    if (!value.is_null() && (!value.is_int64() || value.get_int64() < 0 || value.get_int64() > max_limit))
      return wrong("the limit " + std::string(key) + " must be a whole number from 0, which is none, to " +
                   std::to_string(max_limit));
    out[key] = value.is_null() ? std::nullopt : std::optional(value.get_int64());
  }
  return out;
}

// `"models":["ray-*"]`; nullopt: nothing is said of them.
result<std::optional<std::vector<std::string>>> models_from(const json::object& o) {
  const json::value* v = member(o, "models");
  if (v == nullptr) return std::nullopt;
  auto models = texts_of(*v, "models");
  if (!models) return std::unexpected(std::move(models.error()));
  const auto is_no_word = [](const std::string& m) {
    return m.empty() || m.size() > max_account_name || m.find_first_of(" \t\r\n") != std::string::npos;
  };
  if (models->size() > max_account_models || std::ranges::any_of(*models, is_no_word))
    return wrong("models must be up to " + std::to_string(max_account_models) +
                 " names without spaces, in which \"*\" stands for any characters");
  return std::move(*models);
}

// `"actions":["video"]`, the same.
result<std::optional<std::vector<std::string>>> actions_from(const json::object& o) {
  const json::value* v = member(o, "actions");
  if (v == nullptr) return std::nullopt;
  auto kinds = texts_of(*v, "actions");
  if (!kinds) return std::unexpected(std::move(kinds.error()));
  for (const std::string& kind : *kinds) {
    if (!families().has_action(kind))
      return wrong("\"" + kind + "\" is no kind of job; there are " + families().action_names());
  }
  return std::move(*kinds);
}

void set_limits(own_limits& l, const said_limits& to) {
  for (const limit_name& one : limit_names) {
    if (const auto said = to.find(one.name); said != to.end()) l.*one.of = said->second;
  }
}

void apply_changes(account& a, account_changes to) {
  if (to.name) a.name = std::move(*to.name);
  if (to.note) a.note = std::move(*to.note);
  if (to.contact) a.contact = std::move(*to.contact);
  if (to.weight) a.weight = *to.weight;
  if (to.actions) a.actions = std::move(*to.actions);
  if (to.models) a.models = std::move(*to.models);
  if (to.prepaid) a.prepaid = *to.prepaid;
  if (to.group) a.group = std::move(*to.group);
  set_limits(a.limits, to.limits);
}

// Those that were said.
json::object shown(const own_limits& l) {
  json::object out;
  for (const limit_name& one : limit_names) {
    if (const auto& value = l.*one.of) out[one.name] = *value;
  }
  return out;
}

json::array as_array(const std::vector<std::string>& texts) {
  json::array out;
  for (const std::string& t : texts) out.emplace_back(json::string(t));
  return out;
}

json::object line_of(const account& a, const customers& all, const task_counts& counts) {
  const auto tokens =
      std::ranges::count_if(all.tokens, [&a](const token& t) { return t.account == a.id && !t.revoked(); });
  const task_counts::customer jobs = counts.of(a.id);
  return {{"name", json::string(a.name)},
          {"enabled", a.enabled},
          {"tokens", static_cast<std::int64_t>(tokens)},
          {"open_jobs", jobs.open},
          {"pending_jobs", jobs.pending},
          {"weight", a.weight},
          {"limits", shown(a.limits)},
          {"actions", as_array(a.actions)},
          {"models", as_array(a.models)},
          {"prepaid", a.prepaid},
          {"group", json::string(a.group)},
          {"contact", json::string(a.contact)},
          {"note", json::string(a.note)},
          {"created_at", time_or_null(a.created_at)}};
}

// Its prices would be those of no group in silence.
result<void> known_group(const admin_context& in, const account_changes& to) {
  if (!to.group || in.prices.knows_group(*to.group)) return {};
  return wrong("there is no [[group]] \"" + *to.group + "\" in the configuration");
}

awaitable<result<account>> make_account(admin_context in, std::string name, account_changes with) {
  account a;
  a.name = std::move(name);
  apply_changes(a, std::move(with));
  a.webhook = new_webhook_secret();
  a.created_at = now();
  auto made = co_await from_store(in.tasks, &store::write_account, std::move(a));
  if (made) in.registry.put(*made);
  co_return made;
}

// The account as it is on disk now.
awaitable<result<account>> save(admin_context in, account a) {
  auto saved = co_await from_store(in.tasks, &store::write_account, std::move(a));
  if (saved) in.registry.put(*saved);
  co_return saved;
}

// What is known in memory follows what is on disk, whatever came of a command: others may have run meanwhile.
// Reads are made in their order, so the last one to end is the newest. When the disk cannot be read, what is
// refused stays refused.
awaitable<> follow_disk(admin_context in, std::int64_t account_id) {
  const auto all = co_await read_customers(in.tasks);
  const account* found = all ? all->find(account_id) : nullptr;
  if (found == nullptr) co_return;
  in.registry.put(*found);
  in.registry.set_tokens(account_id, all->tokens);
}

// On disk; changed meanwhile, it is what it has become, and disabled.
awaitable<result<account>> save_disabled(admin_context in, account a) {
  for (;;) {
    a.enabled = false;
    auto saved = co_await from_store(in.tasks, &store::write_account, a);
    if (saved || saved.error().code != errc::conflict) co_return saved;
    auto newest = co_await from_store(in.tasks, &store::account_by_id, a.id);
    if (!newest) co_return std::unexpected(std::move(newest.error()));
    if (!*newest) co_return std::unexpected(std::move(saved.error()));
    a = std::move(**newest);
  }
}

awaitable<result<account>> read_account(admin_context in, std::string name) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return std::unexpected(all.error());
  co_return account_named(*all, name);
}

awaitable<result<cancelled_jobs>> cancel_unless(bool keep_pending, admin_context in, whose of) {
  if (keep_pending) co_return cancelled_jobs{};
  co_return co_await cancel_pending(in, of);
}

// What was cancelled, and what was being recorded meanwhile.
awaitable<json::object> report_with_rest(bool keep_pending, admin_context in, whose of,
                                         cancelled_jobs so_far) {
  const auto rest = co_await cancel_unless(keep_pending, in, of);
  if (!rest) co_return failure(rest.error().log.text);
  so_far.pending += rest->pending;
  so_far.submitting += rest->submitting;
  co_return report(so_far);
}

}  // namespace

const account* customers::find(std::int64_t id) const {
  const auto found = std::ranges::find(accounts, id, &account::id);
  return found == accounts.end() ? nullptr : &*found;
}

const account* customers::named(std::string_view name) const {
  const auto found = std::ranges::find(accounts, name, &account::name);
  return found == accounts.end() ? nullptr : &*found;
}

std::string customers::name_of(const token& t) const {
  const account* a = find(t.account);
  return (a == nullptr ? "?" : a->name) + "/" + t.name;
}

awaitable<result<customers>> read_customers(store& s) {
  customers out;
  auto accounts = co_await from_store(s, &store::accounts);
  if (!accounts) co_return std::unexpected(std::move(accounts.error()));
  auto tokens = co_await from_store(s, &store::tokens);
  if (!tokens) co_return std::unexpected(std::move(tokens.error()));
  out.accounts = std::move(*accounts);
  out.tokens = std::move(*tokens);
  co_return out;
}

result<account> account_named(const customers& all, std::string_view name) {
  if (const account* found = all.named(name)) return *found;
  return fail(errc::task_not_found, "there is no account named \"" + std::string(name) +
                                        "\"; `luma-relay account list` shows them");
}

result<token> token_named(const customers& all, std::string_view name, bool also_revoked) {
  const std::size_t slash = name.find('/');
  const account* of = slash == name.npos ? nullptr : all.named(name.substr(0, slash));
  const std::string_view own = slash == name.npos ? name : name.substr(slash + 1);
  std::vector<const token*> in_force;
  const token* last_revoked = nullptr;
  for (const token& t : all.tokens) {
    if (t.name != own || (slash != name.npos && (of == nullptr || t.account != of->id))) continue;
    if (!t.revoked())
      in_force.push_back(&t);
    else
      last_revoked = &t;
  }
  if (in_force.size() == 1) return *in_force.front();
  if (in_force.empty() && also_revoked && last_revoked != nullptr) return *last_revoked;
  if (in_force.empty())
    return fail(errc::task_not_found, "there is no token named \"" + std::string(name) +
                                          "\" in force; `luma-relay token list` shows them");
  std::string names;
  for (const token* t : in_force) names += (names.empty() ? "" : ", ") + all.name_of(*t);
  return fail(errc::invalid_request, "several tokens have this name; say which: " + names);
}

result<account_changes> account_changes_from(const json::object& o) {
  account_changes out;
  auto name = text_if_any(o, "new_name", max_account_name);
  auto note = text_if_any(o, "note", max_account_note);
  auto contact = text_if_any(o, "contact", max_account_contact);
  auto limits = limits_from(o);
  for (const error* e : {name ? nullptr : &name.error(), note ? nullptr : &note.error(),
                         contact ? nullptr : &contact.error(), limits ? nullptr : &limits.error()}) {
    if (e != nullptr) return std::unexpected(*e);
  }
  if (*name && !valid_account_name(**name)) return wrong(std::string(name_rule));
  out.name = std::move(*name);
  out.note = std::move(*note);
  out.contact = std::move(*contact);
  out.limits = std::move(*limits);
  auto models = models_from(o);
  if (!models) return std::unexpected(std::move(models.error()));
  out.models = std::move(*models);
  auto kinds = actions_from(o);
  if (!kinds) return std::unexpected(std::move(kinds.error()));
  out.actions = std::move(*kinds);
  auto group = text_if_any(o, "group", max_account_name);
  if (!group) return std::unexpected(std::move(group.error()));
  out.group = std::move(*group);
  if (const json::value* v = member(o, "prepaid")) {
    if (!v->is_bool()) return wrong("prepaid must be true or false");
    out.prepaid = v->get_bool();
  }
  if (const json::value* v = member(o, "weight")) {
    if (!v->is_int64() || v->get_int64() < 1 || v->get_int64() > max_account_weight)
      return wrong("weight must be a whole number from 1 to " + std::to_string(max_account_weight));
    out.weight = static_cast<int>(v->get_int64());
  }
  return out;
}

result<token_changes> token_changes_from(const json::object& o) {
  token_changes out;
  auto name = text_if_any(o, "new_name", max_token_name);
  if (!name) return std::unexpected(std::move(name.error()));
  if (*name && !valid_token_name(**name)) return wrong(std::string(token_name_rule));
  out.name = std::move(*name);
  if (const json::value* v = member(o, "expires_in_s")) {
    if (!v->is_int64() || v->get_int64() < 0) return wrong("expires_in_s must be a whole number of seconds");
    out.expires_in = std::chrono::seconds(v->get_int64());
  }
  if (const json::value* v = member(o, "addresses")) {
    auto addresses = texts_of(*v, "addresses");
    if (!addresses) return std::unexpected(std::move(addresses.error()));
    if (const auto read = address_set::parse(*addresses); !read)
      return wrong("addresses: " + read.error().log.text);
    out.addresses = std::move(*addresses);
  }
  auto limits = limits_from(o);
  if (!limits) return std::unexpected(std::move(limits.error()));
  out.limits = std::move(*limits);
  return out;
}

result<token_plan> token_plan_from(const json::object& o) {
  token_plan out;
  out.name = text_of(o, "name");
  out.account = text_of(o, "account");
  if (!valid_token_name(out.name)) return wrong(std::string(token_name_rule));
  auto said = token_changes_from(o);
  if (!said) return std::unexpected(std::move(said.error()));
  if (said->expires_in) out.expires_in = *said->expires_in;
  if (said->addresses) out.addresses = std::move(*said->addresses);
  set_limits(out.limits, said->limits);
  return out;
}

awaitable<json::object> create_account(admin_context in, std::string name, account_changes with) {
  if (!valid_account_name(name)) co_return failure(name_rule);
  if (auto known = known_group(in, with); !known) co_return failure(known.error().log.text);
  with.name.reset();
  const auto made = co_await make_account(in, std::move(name), std::move(with));
  if (!made) co_return failure(made.error().log.text);
  co_return json::object{{"ok", true}, {"name", json::string(made->name)}};
}

awaitable<json::object> list_accounts(admin_context in) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  json::array list;
  for (const account& a : all->accounts) list.emplace_back(line_of(a, *all, in.tasks.counts()));
  co_return json::object{{"ok", true}, {"accounts", std::move(list)}};
}

awaitable<json::object> show_account(admin_context in, std::string name) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  const auto found = account_named(*all, name);
  if (!found) co_return failure(found.error().log.text);
  auto has = co_await balance_of(in, found->id);
  if (!has) co_return failure(has.error().log.text);
  json::object shown = line_of(*found, *all, in.tasks.counts());
  for (const auto& [key, value] : *has) shown[key] = value;
  shown["currency"] = json::string(in.prices.currency());
  shown["group_is_known"] = in.prices.knows_group(found->group);
  co_return json::object{{"ok", true}, {"account", std::move(shown)}};
}

awaitable<json::object> change_account(admin_context in, std::string name, account_changes to) {
  if (auto known = known_group(in, to); !known) co_return failure(known.error().log.text);
  auto found = co_await read_account(in, std::move(name));
  if (!found) co_return failure(found.error().log.text);
  apply_changes(*found, std::move(to));
  const auto saved = co_await save(in, std::move(*found));
  if (!saved) co_return failure(saved.error().log.text);
  co_return json::object{{"ok", true}, {"name", json::string(saved->name)}};
}

awaitable<json::object> enable_account(admin_context in, std::string name) {
  auto found = co_await read_account(in, std::move(name));
  if (!found) co_return failure(found.error().log.text);
  found->enabled = true;
  const auto saved = co_await save(in, std::move(*found));
  co_return saved ? json::object{{"ok", true}} : failure(saved.error().log.text);
}

// Requests are refused first, then what waits is cancelled, then it is disabled on disk: cut off in between,
// it is enabled after a restart, and the command can be given again. A create that was being recorded
// meanwhile is on disk by then: what waits is looked at once more.
awaitable<json::object> disable_account(admin_context in, std::string name, bool keep_pending) {
  const auto found = co_await read_account(in, std::move(name));
  if (!found) co_return failure(found.error().log.text);
  account disabled = *found;
  disabled.enabled = false;
  in.registry.put(disabled);
  const whose of{found->id, std::nullopt};
  const auto stopped = co_await cancel_unless(keep_pending, in, of);
  result<account> saved = std::unexpected(stopped ? error{} : stopped.error());
  if (stopped) saved = co_await save_disabled(in, *found);
  co_await follow_disk(in, found->id);
  if (!saved) co_return failure(saved.error().log.text);
  co_return co_await report_with_rest(keep_pending, in, of, *stopped);
}

awaitable<json::object> webhook_secret(admin_context in, std::string name, bool rotate) {
  auto found = co_await read_account(in, std::move(name));
  if (found && rotate) {
    found->webhook = new_webhook_secret();
    found = co_await save(in, std::move(*found));
  }
  if (!found) co_return failure(found.error().log.text);
  co_return json::object{{"ok", true}, {"secret", json::string(webhook_secret_text(found->webhook))}};
}

// Only its digest is kept; the text leaves here once, in this response.
awaitable<json::object> create_token(admin_context in, token_plan plan) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  result<account> of = account_named(*all, plan.account.empty() ? plan.name : plan.account);
  if (!of && plan.account.empty()) of = co_await make_account(in, plan.name, {});
  if (!of) co_return failure(of.error().log.text);
  if (!of->enabled)
    co_return failure("the account \"" + of->name + "\" is disabled; `luma-relay account enable` it first");
  const made_secret secret = make_secret();
  token t;
  t.account = of->id;
  t.name = std::move(plan.name);
  t.digest = secret.digest;
  t.hint = secret.hint;
  t.created_at = now();
  if (plan.expires_in.count() > 0) t.expires_at = now() + plan.expires_in;
  t.addresses = std::move(plan.addresses);
  t.limits = plan.limits;
  const auto made = co_await from_store(in.tasks, &store::insert_token, std::move(t));
  if (!made) co_return failure(made.error().log.text);
  // On disk: from here on it is accepted.
  in.registry.add(*made);
  co_await follow_disk(in, made->account);
  co_return json::object{{"ok", true},
                         {"token", json::string(secret.text)},
                         {"name", json::string(made->name)},
                         {"account", json::string(of->name)},
                         {"expires_at", time_or_null(made->expires_at)}};
}

awaitable<json::object> change_token(admin_context in, std::string name, token_changes to) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  const auto found = token_named(*all, name, false);
  if (!found) co_return failure(found.error().log.text);
  token changed = *found;
  if (to.name) changed.name = std::move(*to.name);
  if (to.expires_in) changed.expires_at = to.expires_in->count() > 0 ? now() + *to.expires_in : never;
  if (to.addresses) changed.addresses = std::move(*to.addresses);
  set_limits(changed.limits, to.limits);
  const auto saved = co_await from_store(in.tasks, &store::change_token, std::move(changed));
  co_await follow_disk(in, found->account);
  if (!saved) co_return failure(saved.error().log.text);
  co_return json::object{
      {"ok", true}, {"name", json::string(saved->name)}, {"expires_at", time_or_null(saved->expires_at)}};
}

awaitable<json::object> list_tokens(admin_context in, std::string account_name) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  std::int64_t only = 0;
  if (!account_name.empty()) {
    const auto of = account_named(*all, account_name);
    if (!of) co_return failure(of.error().log.text);
    only = of->id;
  }
  json::array list;
  for (const token& t : all->tokens) {
    if (only != 0 && t.account != only) continue;
    const account* of = all->find(t.account);
    list.emplace_back(json::object{
        {"name", json::string(t.name)},
        {"account", json::string(of == nullptr ? "?" : of->name)},
        {"hint", json::string(t.hint)},
        {"created_at", time_or_null(t.created_at)},
        {"expires_at", time_or_null(t.expires_at)},
        {"addresses", as_array(t.addresses)},
        {"limits", shown(t.limits)},
        {"last_used",
         t.last_used > 0 ? json::value(json::string(day_text(t.last_used))) : json::value(nullptr)},
        {"revoked_at", time_or_null(t.revoked_at)},
        {"old_ends_at", time_or_null(!t.revoked() && t.old_ends_at > now() ? t.old_ends_at : never)}});
  }
  co_return json::object{{"ok", true}, {"tokens", std::move(list)}};
}

// In the order of disable_account(), for the same reasons.
awaitable<json::object> revoke_token(admin_context in, std::string name, bool keep_pending) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  const auto found = token_named(*all, name, false);
  if (!found) co_return failure(found.error().log.text);
  in.registry.remove(*found);
  const whose of{found->account, found->id};
  const auto stopped = co_await cancel_unless(keep_pending, in, of);
  result<token> gone = std::unexpected(stopped ? error{} : stopped.error());
  if (stopped) gone = co_await from_store(in.tasks, &store::revoke_token, found->id, now());
  co_await follow_disk(in, found->account);
  if (!gone) co_return failure(gone.error().log.text);
  co_return co_await report_with_rest(keep_pending, in, of, *stopped);
}

awaitable<json::object> rotate_token(admin_context in, std::string name, std::chrono::seconds grace) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  const auto before = token_named(*all, name, false);
  if (!before) co_return failure(before.error().log.text);
  if (is_set(before->expires_at) && before->expires_at <= now())
    co_return failure("this token expired at " + to_iso(before->expires_at, precision::milliseconds) +
                      "; create another one for its account");
  // A secret before the one that is replaced, which still works, ends: there are two at most.
  const timestamp cut_short = before->old_ends_at > now() ? before->old_ends_at : never;
  const made_secret secret = make_secret();
  const new_secret with{secret.digest, secret.hint, now() + grace};
  const auto rotated = co_await from_store(in.tasks, &store::rotate_token, before->id, with);
  if (!rotated) co_return failure(rotated.error().log.text);
  co_await follow_disk(in, rotated->account);
  co_return json::object{{"ok", true},
                         {"token", json::string(secret.text)},
                         {"old_ends_at", json::string(to_iso(rotated->old_ends_at, precision::milliseconds))},
                         {"ended_before", time_or_null(cut_short)}};
}

}  // namespace relay
