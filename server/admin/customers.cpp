#include "server/admin/customers.hpp"

#include <algorithm>

#include "server/await_store.hpp"

namespace relay {

const account* customers::find(std::int64_t id) const {
  const auto found = std::ranges::lower_bound(accounts, id, {}, &account::id);
  return found == accounts.end() || found->id != id ? nullptr : &*found;
}

const token* customers::find_token(std::int64_t id) const {
  const auto found = std::ranges::lower_bound(tokens, id, {}, &token::id);
  return found == tokens.end() || found->id != id ? nullptr : &*found;
}

std::unordered_map<std::int64_t, std::int64_t> customers::tokens_in_force() const {
  std::unordered_map<std::int64_t, std::int64_t> out;
  for (const token& t : tokens) out[t.account] += !t.revoked();
  return out;
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
  return fail(errc::not_found, "there is no account named \"" + std::string(name) +
                                   "\"; `luma-relay account list` shows them");
}

result<token> token_named(const customers& all, std::string_view name, bool also_revoked) {
  if (name.starts_with("*/")) name.remove_prefix(2);
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
    return fail(errc::not_found, "there is no token named \"" + std::string(name) +
                                     "\" in force; `luma-relay token list` shows them");
  std::string names;
  for (const token* t : in_force) names += (names.empty() ? "" : ", ") + all.name_of(*t);
  return fail(errc::conflict, "several tokens have this name; say which: " + names);
}

result<whose> whose_of(const std::string& account, const std::string& token, const customers& all) {
  whose out;
  if (!account.empty()) {
    auto found = account_named(all, account);
    if (!found) return std::unexpected(std::move(found.error()));
    out.account = found->id;
  }
  if (token.empty()) return out;
  auto found = token_named(all, out.account && !token.contains('/') ? account + "/" + token : token, true);
  if (!found) return std::unexpected(std::move(found.error()));
  if (out.account && found->account != *out.account)
    return fail(errc::invalid_request, "token: " + token + " is of another account");
  out.token = found->id;
  out.account = found->account;
  return out;
}

json::value time_or_null(timestamp t) {
  return is_set(t) ? json::value(json::string(to_iso(t, precision::milliseconds))) : json::value(nullptr);
}

json::array as_array(const std::vector<std::string>& texts) {
  json::array out;
  for (const std::string& t : texts) out.emplace_back(json::string(t));
  return out;
}

std::vector<std::string> texts_of(const json::value& list) {
  std::vector<std::string> out;
  for (const json::value& item : list.as_array()) out.emplace_back(view(item.as_string()));
  return out;
}

json::object shown(const own_limits& l) {
  json::object out;
  for (const limit_name& one : limit_names) {
    if (const auto& value = l.*one.of) out[one.name] = *value;
  }
  return out;
}

void set_limits(own_limits& l, const json::object& to) {
  for (const limit_name& one : limit_names) {
    if (const json::value* said = to.if_contains(one.name))
      l.*one.of = said->is_null() ? std::nullopt : std::optional(said->as_int64());
  }
}

}  // namespace relay
