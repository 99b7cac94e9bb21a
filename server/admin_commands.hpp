#pragma once

// The operator's commands, as one JSON object in and one out: run by the server for those who reach its admin
// socket, or by the command line itself when no server has the database. Loop thread.

#include <functional>
#include <string>
#include <vector>

#include "common/base/json.hpp"
#include "server/asio.hpp"
#include "server/auth.hpp"
#include "server/task_changes.hpp"
#include "storage/store.hpp"

namespace relay {

class billing;
class dispatcher;
class upstreams;

/// What the commands work on. Outlives them.
struct admin_context {
  asio::io_context& loop;
  store& tasks;
  task_changes& changes;
  account_registry& registry;
  const billing& prices;
  // Of a relay that runs; null: none does.
  dispatcher* submit = nullptr;
  upstreams* all_upstreams = nullptr;
  /// Reads the configuration again; what came of it, a line each.
  std::function<awaitable<result<std::vector<std::string>>>()> reload{};
  /// A row of the ledger was written.
  std::function<void(const ledger_entry&)> booked = [](const ledger_entry&) {};
};

/// `{"command":"token-create","name":…}` → `{"ok":true,"token":…}`, and with it:
///
/// - `account-create`, `account-set` (`name`, `new_name`, `note`, `contact`, `weight`, `actions`, `models`,
///   `prepaid`, `group`, `limits`),
///   `account-list`; `account-show`, `account-enable` (`name`); `account-disable` (`name`, `keep_pending`);
///   `webhook-secret` (`name`, `rotate`);
/// - `account-topup`, `account-adjust` (`name`, `amount`, `note`); `ledger-list` (`account`, `job`, `before`,
///   `limit`); `usage` (`since`, `until`, `by`, `account`, `format`);
/// - `token-create` (`name`, `account`, `expires_in_s`, `addresses`, `limits`), `token-list` (`account`),
///   `token-set` (`name`, `new_name`, `expires_in_s`, `addresses`, `limits`),
/// `token-revoke` (`name`,
///   `keep_pending`), `token-rotate` (`name`, `grace_s`);
/// - `task-list` (`state`, `account`, `token`, `ambiguous`, `limit`); `task-show`, `task-release`,
///   `task-cancel-pending`, `task-retry-callback` (`id`); `task-release-all`; `task-cancel-all-pending`
///   (`account`, `token`; of all without them);
/// - `upstream-list`; `upstream-pause`, `upstream-resume`, `upstream-drain` (`name`); `reload`.
///
/// A failure is `{"ok":false,"message":…}`.
awaitable<json::object> run_admin_command(admin_context in, json::value request);

}  // namespace relay
