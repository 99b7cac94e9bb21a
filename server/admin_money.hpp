#pragma once

// The operator's commands about balances, the ledger and usage. See admin_commands.hpp. Loop thread.

#include <string>

#include "server/admin_accounts.hpp"

namespace relay {

/// `balance`, `held` and `left` of an account, as text. Errors: those of a read.
awaitable<result<json::object>> balance_of(admin_context in, std::int64_t account);

/// Puts an amount into an account's balance (`topup`, above 0), or corrects it (`adjust`, any but 0).
awaitable<json::object> change_balance(admin_context in, ledger_kind kind, json::object o);
/// Rows of the ledger, the newest first: of an account, of a job, or all.
awaitable<json::object> list_ledger(admin_context in, json::object o);
/// What was done from one day to another, told apart as asked for.
awaitable<json::object> show_usage(admin_context in, json::object o);

}  // namespace relay
