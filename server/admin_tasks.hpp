#pragma once

// The operator's commands about tasks. See admin_commands.hpp. Loop thread.

#include <string>

#include "server/admin_accounts.hpp"

namespace relay {

/// Whose tasks: of one account, of one token, or all.
struct whose {
  std::optional<std::int64_t> account, token;
};

// What was cancelled.
struct cancelled_jobs {
  std::int64_t pending = 0;
  std::int64_t submitting = 0;  // they end, unless an upstream has them
};
json::object report(const cancelled_jobs& c);

/// Ends what is not at an upstream.
awaitable<result<cancelled_jobs>> cancel_pending(admin_context in, whose of);

/// `o`: the command; see admin_commands.hpp.
awaitable<json::object> list_tasks(admin_context in, json::object o);
awaitable<json::object> cancel_all_pending(admin_context in, json::object o);
awaitable<json::object> release_all(admin_context in);
/// `command`: task-show, task-release, task-cancel-pending or task-retry-callback.
awaitable<json::object> with_task(admin_context in, std::string command, std::string id);

}  // namespace relay
