#pragma once

// Accounts and tokens by their names, as operators give them. Loop thread.

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/json.hpp"
#include "common/engine/account.hpp"
#include "common/engine/token.hpp"
#include "server/asio.hpp"
#include "storage/store.hpp"

namespace relay {

/// All accounts and all tokens, the revoked ones too, each in the order of their numbers.
struct customers {
  std::vector<account> accounts;
  std::vector<token> tokens;

  const account* find(std::int64_t id) const;
  const token* find_token(std::int64_t id) const;
  /// How many of them each account has, by its number.
  std::unordered_map<std::int64_t, std::int64_t> tokens_in_force() const;
  const account* named(std::string_view name) const;
  /// "ACCOUNT/TOKEN". "?" stands for what is not there.
  std::string name_of(const token& t) const;
};
awaitable<result<customers>> read_customers(store& s);

/// The account of this name. Errors: not_found.
result<account> account_named(const customers& all, std::string_view name);
/// A token by "ACCOUNT/TOKEN", or by its own name, or "*/TOKEN", where one alone has it: the one that is not
/// revoked; with `also_revoked` else the last that had the name. Errors: not_found, conflict when several
/// have it.
result<token> token_named(const customers& all, std::string_view name, bool also_revoked);

/// Whose jobs: of one account, of one token, or all.
struct whose {
  std::optional<std::int64_t> account, token;
};
/// By names; empty: of any. Errors: as account_named and token_named; invalid_request when the token is of
/// another account.
result<whose> whose_of(const std::string& account, const std::string& token, const customers& all);

/// A time, or null.
json::value time_or_null(timestamp t);
json::array as_array(const std::vector<std::string>& texts);
std::vector<std::string> texts_of(const json::value& list);
/// Those that were said.
json::object shown(const own_limits& l);
/// `{"open":50,"pending":null}`, on top of what is there.
void set_limits(own_limits& l, const json::object& to);

/// A page of rows that are all in memory, in the order of their ids. `cursor` and `limit` as in the query.
template <class Row, class Show>
json::object page_of(const std::vector<Row>& rows, std::int64_t after, std::int64_t limit, Show show) {
  json::array items;
  json::value next = nullptr;
  for (const Row& r : rows) {
    if (r.id <= after) continue;
    if (std::ssize(items) == limit) {
      next = json::string(std::to_string(after));
      break;
    }
    if (auto line = show(r)) items.emplace_back(std::move(*line));
    after = r.id;
  }
  return {{"items", std::move(items)}, {"next", std::move(next)}};
}

}  // namespace relay
