#pragma once

// The operator's commands about accounts and their tokens. See admin_commands.hpp. Loop thread.

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/engine/account.hpp"
#include "common/engine/token.hpp"
#include "server/admin_commands.hpp"

namespace relay {

/// All accounts and all tokens, the revoked ones too.
struct customers {
  std::vector<account> accounts;
  std::vector<token> tokens;

  const account* find(std::int64_t id) const;
  const account* named(std::string_view name) const;
  /// "ACCOUNT/TOKEN". "?" stands for what is not there.
  std::string name_of(const token& t) const;
};
awaitable<result<customers>> read_customers(store& s);

/// The account of this name. Errors: task_not_found, as log text.
result<account> account_named(const customers& all, std::string_view name);
/// A token by "ACCOUNT/TOKEN", or by its own name where one alone has it: the one that is not revoked; with
/// `also_revoked` else the last that had the name. Errors: task_not_found, invalid_request, as log text.
result<token> token_named(const customers& all, std::string_view name, bool also_revoked);

/// What an operator may say of an account; nullopt: it stays.
struct account_changes {
  std::optional<std::string> name, note, contact;
  std::optional<int> weight;
  std::optional<std::vector<std::string>> actions;  // none: all
  std::optional<std::vector<std::string>> models;   // none: all
  std::optional<bool> prepaid;
  std::optional<std::string> group;                           // empty: none
  std::map<std::string, std::optional<std::int64_t>> limits;  // by limit_name; nullopt: as configured
};
/// `new_name`, `note`, `contact`, `weight`, `actions`, `models`, `prepaid`, `group` and `limits` of a
/// command. Errors: invalid_request.
result<account_changes> account_changes_from(const json::object& o);
/// What a new token is, beside its secret.
struct token_plan {
  std::string name;
  std::string account;                 // empty: the one with the token's name, which is made if there is none
  std::chrono::seconds expires_in{0};  // 0: never
  std::vector<std::string> addresses;  // from which it may be used; empty: any
  own_limits limits;
};
/// Of a command. Errors: invalid_request.
result<token_plan> token_plan_from(const json::object& o);

awaitable<json::object> create_account(admin_context in, std::string name, account_changes with);
awaitable<json::object> list_accounts(admin_context in);
awaitable<json::object> show_account(admin_context in, std::string name);
awaitable<json::object> change_account(admin_context in, std::string name, account_changes to);
awaitable<json::object> enable_account(admin_context in, std::string name);
/// Its tokens are refused from now on, and what it has not submitted is cancelled unless `keep_pending`.
awaitable<json::object> disable_account(admin_context in, std::string name, bool keep_pending);
/// The secret that signs an account's callbacks, as its verifier wants it; a new one when asked to rotate.
awaitable<json::object> webhook_secret(admin_context in, std::string name, bool rotate);

/// What an operator may say of a token that is there; nullopt: it stays.
struct token_changes {
  std::optional<std::string> name;
  std::optional<std::chrono::seconds> expires_in;  // 0: never
  std::optional<std::vector<std::string>> addresses;
  std::map<std::string, std::optional<std::int64_t>> limits;
};
/// `new_name`, `expires_in_s`, `addresses` and `limits` of a command. Errors: invalid_request.
result<token_changes> token_changes_from(const json::object& o);

awaitable<json::object> create_token(admin_context in, token_plan plan);
awaitable<json::object> change_token(admin_context in, std::string name, token_changes to);
awaitable<json::object> list_tokens(admin_context in, std::string account);
/// Requests with it are refused from now on, and what was created with it and not submitted is cancelled
/// unless `keep_pending`.
awaitable<json::object> revoke_token(admin_context in, std::string name, bool keep_pending);
/// Another secret for the same token; the old one works for `grace`.
awaitable<json::object> rotate_token(admin_context in, std::string name, std::chrono::seconds grace);

}  // namespace relay
