// The operations about tokens.

#include <algorithm>

#include "common/base/addresses.hpp"
#include "server/admin/cancelling.hpp"
#include "server/admin/customers.hpp"
#include "server/admin/handlers.hpp"
#include "server/admin/secrets.hpp"
#include "server/admin/shapes.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/usage_report.hpp"

namespace relay::admin {
namespace {

constexpr std::int64_t usual_grace_s = 86'400;

json::object settings_of(const token& t) {
  return {{"name", json::string(t.name)},       {"expires_at", time_or_null(t.expires_at)},
          {"addresses", as_array(t.addresses)}, {"limits", shown(t.limits)},
          {"hint", json::string(t.hint)},       {"revoked_at", time_or_null(t.revoked_at)}};
}

std::string etag_of(const token& t) {
  json::object of = settings_of(t);
  of["old_ends_at"] = time_or_null(t.old_ends_at);
  return "\"" + hex_of(sha256(std::to_string(t.id) + json::serialize(of))).substr(0, 16) + "\"";
}

json::object line_of(const token& t, const customers& all) {
  const account* of = all.find(t.account);
  const bool old_works = !t.revoked() && t.old_ends_at > now();
  return {{"id", t.id},
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
          {"old_ends_at", time_or_null(old_works ? t.old_ends_at : never)}};
}

std::string target_of(const token& t, const customers& all) {
  return "token/" + all.name_of(t);
}

// What is known in memory follows what is on disk, whatever came of a change. When the disk cannot be read,
// what is refused stays refused.
awaitable<> follow_disk(const admin_context& in, std::int64_t account_id) {
  const auto all = co_await read_customers(in.tasks);
  const account* found = all ? all->find(account_id) : nullptr;
  if (found == nullptr) co_return;
  in.registry.put(*found);
  in.registry.set_tokens(account_id, all->tokens);
}

awaitable<admin_result> show(admin_call& c, std::int64_t id) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const auto found = std::ranges::find(all->tokens, id, &token::id);
  if (found == all->tokens.end()) co_return fail(errc::not_found, "there is no such token any more");
  admin_response out;
  out.body = line_of(*found, *all);
  out.etag = etag_of(*found);
  co_return out;
}

struct found_token {
  customers all;
  token it;
};
// The token of the path, as the client saw it last. Errors: not_found, conflict, 412.
awaitable<result<found_token>> token_of(admin_call& c, bool also_revoked = false) {
  auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(std::move(all.error()));
  auto found = token_named(*all, c.first + "/" + c.second, also_revoked);
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (auto same = check_match(c, etag_of(*found)); !same) co_return std::unexpected(std::move(same.error()));
  co_return found_token{std::move(*all), std::move(*found)};
}

// What the body says. Errors: invalid_request.
result<void> apply_changes(token& t, const json::object& to) {
  if (const json::value* v = member(to, "name")) t.name = view(v->as_string());
  if (const json::value* v = member(to, "expires_in_s"))
    t.expires_at = v->as_int64() > 0 ? now() + std::chrono::seconds(v->as_int64()) : never;
  if (const json::value* v = member(to, "addresses")) {
    t.addresses = texts_of(*v);
    if (const auto read = address_set::parse(t.addresses); !read)
      return fail(errc::invalid_request, "addresses: " + read.error().log.text);
  }
  if (const json::value* v = member(to, "limits")) set_limits(t.limits, v->as_object());
  return {};
}

// Whose a new token is: of the account that is named, or of the one with its name, which is made if there is
// none. Errors: not_found, conflict.
awaitable<result<account>> owner_of_new(admin_call& c, const std::string& name) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const std::string wanted = c.text("account");
  auto of = account_named(*all, wanted.empty() ? name : wanted);
  if (!of && wanted.empty()) {
    account a;
    a.name = name;
    a.webhook = new_webhook_secret();
    a.created_at = now();
    // The key of the request is that of the token.
    audit_entry why = *c.audit("account/" + name, {}, {{"name", json::string(name)}});
    why.idempotency_key.clear();
    const audit_ptr row = std::make_shared<const audit_entry>(std::move(why));
    of = co_await from_store(c.in.tasks, &store::write_account, std::move(a), row);
    if (of) c.in.registry.put(*of);
  }
  if (of && !of->enabled)
    co_return fail(errc::conflict, "the account \"" + of->name + "\" is disabled; enable it first");
  co_return of;
}

}  // namespace

// Only its digest is kept; the text leaves here once, in this response.
awaitable<admin_result> create_token(admin_call& c) {
  token t;
  if (auto ok = apply_changes(t, c.body); !ok) co_return std::unexpected(std::move(ok.error()));
  const auto of = co_await owner_of_new(c, t.name);
  if (!of) co_return std::unexpected(of.error());
  const made_secret secret = make_secret();
  t.account = of->id;
  t.digest = secret.digest;
  t.hint = secret.hint;
  t.created_at = now();
  const auto why = c.audit("token/" + of->name + "/" + t.name, {}, settings_of(t));
  const auto made = co_await from_store(c.in.tasks, &store::insert_token, std::move(t), why);
  if (!made) co_return std::unexpected(made.error());
  // On disk: from here on it is accepted.
  c.in.registry.add(*made);
  co_await follow_disk(c.in, made->account);
  auto out = co_await show(c, made->id);
  if (!out) co_return out;
  out->location = std::string(admin_prefix) + "/tokens/" + of->name + "/" + made->name;
  out->body["token"] = json::string(secret.text);
  co_return out;
}

awaitable<admin_result> list_tokens(admin_call& c) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const auto of = whose_of(c.text("account"), {}, *all);
  if (!of) co_return std::unexpected(of.error());
  co_return admin_response{page_of(all->tokens, c.number("cursor", 0),
                                   c.number("limit", shapes::default_items), [&](const token& t) {
                                     const bool is_meant = !of->account || t.account == *of->account;
                                     return is_meant ? std::optional(line_of(t, *all)) : std::nullopt;
                                   })};
}

awaitable<admin_result> get_token(admin_call& c) {
  const auto found = co_await token_of(c, true);
  if (!found) co_return std::unexpected(found.error());
  co_return co_await show(c, found->it.id);
}

awaitable<admin_result> change_token(admin_call& c) {
  const auto found = co_await token_of(c);
  if (!found) co_return std::unexpected(found.error());
  token changed = found->it;
  if (auto ok = apply_changes(changed, c.body); !ok) co_return std::unexpected(std::move(ok.error()));
  const auto why = c.audit(target_of(found->it, found->all), settings_of(found->it), settings_of(changed));
  const auto saved = co_await from_store(c.in.tasks, &store::change_token, std::move(changed), why);
  co_await follow_disk(c.in, found->it.account);
  if (!saved) co_return std::unexpected(saved.error());
  co_return co_await show(c, saved->id);
}

// In the order of disable_account(), for the same reasons.
awaitable<admin_result> revoke_token(admin_call& c) {
  const auto found = co_await token_of(c);
  if (!found) co_return std::unexpected(found.error());
  const token& t = found->it;
  const timestamp time = now();
  token after = t;
  after.revoked_at = time;
  const auto why = c.audit(target_of(t, found->all), settings_of(t), settings_of(after));
  const auto noted = co_await from_store(c.in.tasks, &store::note_change, why);
  if (!noted) co_return std::unexpected(noted.error());
  c.in.registry.remove(t);
  const whose of{t.account, t.id};
  auto stopped = co_await cancel_unless(c.flag("keep_pending"), c.in, of);
  result<token> gone = std::unexpected(stopped ? error{} : stopped.error());
  if (stopped) gone = co_await from_store(c.in.tasks, &store::revoke_token, t.id, time, audit_ptr{});
  co_await follow_disk(c.in, t.account);
  if (!gone) co_return std::unexpected(gone.error());
  const auto rest = co_await cancel_unless(c.flag("keep_pending"), c.in, of);
  if (!rest) co_return std::unexpected(rest.error());
  *stopped += *rest;
  co_return admin_response{shown(*stopped)};
}

awaitable<admin_result> rotate_token(admin_call& c) {
  const auto found = co_await token_of(c);
  if (!found) co_return std::unexpected(found.error());
  const token& before = found->it;
  if (is_set(before.expires_at) && before.expires_at <= now())
    co_return fail(errc::conflict, "this token expired at " +
                                       to_iso(before.expires_at, precision::milliseconds) +
                                       "; create another one for its account");
  // A secret before the one that is replaced, which still works, ends: there are two at most.
  const timestamp cut_short = before.old_ends_at > now() ? before.old_ends_at : never;
  const made_secret secret = make_secret();
  const new_secret with{secret.digest, secret.hint,
                        now() + std::chrono::seconds(c.number("grace_s", usual_grace_s))};
  token after = before;
  after.hint = secret.hint;
  const auto why = c.audit(target_of(before, found->all), settings_of(before), settings_of(after));
  const auto rotated = co_await from_store(c.in.tasks, &store::rotate_token, before.id, with, why);
  if (!rotated) co_return std::unexpected(rotated.error());
  co_await follow_disk(c.in, rotated->account);
  co_return admin_response{{{"token", json::string(secret.text)},
                            {"old_ends_at", time_or_null(rotated->old_ends_at)},
                            {"ended_before", time_or_null(cut_short)}}};
}

}  // namespace relay::admin
