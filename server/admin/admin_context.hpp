#pragma once

// What the admin API works on: a relay that runs, or its database alone when the command line opens it.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/engine/ledger.hpp"
#include "server/admin/admin_tokens.hpp"
#include "server/asio.hpp"
#include "server/auth.hpp"
#include "server/readiness.hpp"
#include "server/task_changes.hpp"
#include "storage/store.hpp"

namespace relay {

class billing;
class dispatcher;
class file_thread;
class upstreams;
struct config;

/// Outlives the API. Loop thread.
struct admin_context {
  asio::io_context& loop;
  const config& settings;
  store& tasks;
  task_changes& changes;
  account_registry& registry;
  admin_tokens& operators;
  const billing& prices;
  spdlog::logger& log;

  // Of a relay that runs; null: none does.
  dispatcher* submit = nullptr;
  upstreams* all_upstreams = nullptr;
  std::shared_ptr<file_thread> files{};  // for what blocks
  std::function<readiness()> state{};
  /// Reads the configuration again; what came of it, a line each.
  std::function<awaitable<result<std::vector<std::string>>>()> reload{};
  /// A row of the ledger was written.
  std::function<void(const ledger_entry&)> booked = [](const ledger_entry&) {};
};

}  // namespace relay
