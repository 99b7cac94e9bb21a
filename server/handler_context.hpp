#pragma once

// What handlers need of the relay's parts, borrowed from `app`. Loop thread.

#include <functional>
#include <string_view>

#include "common/engine/customer_limits.hpp"
#include "common/engine/family.hpp"
#include "common/engine/sent_creates.hpp"
#include "config/config.hpp"
#include "server/assets/assets.hpp"
#include "server/auth.hpp"
#include "server/background/dispatcher.hpp"
#include "server/billing.hpp"
#include "server/fresh_links.hpp"
#include "server/large_texts.hpp"
#include "server/metrics.hpp"
#include "server/readiness.hpp"
#include "server/rendered.hpp"
#include "server/stream_limit.hpp"
#include "server/task_changes.hpp"
#include "server/upstream_facts.hpp"
#include "server/watch.hpp"
#include "storage/store.hpp"

namespace relay {

struct handler_context {
  const config& settings;
  const catalogue& names;
  store& tasks;
  account_registry& accounts;
  dispatcher& submit;
  task_changes& jobs;
  watch& changes;
  rendered_tasks& rendered;
  metrics& figures;
  spdlog::logger& log;
  stream_limit& streams;
  sent_creates& sends;
  create_limits& limits;
  request_limits& requests;
  large_texts& large;
  upstream_facts& facts;
  const billing& prices;
  fresh_links& links;
  assets* files;  // null: the relay takes none
  std::function<readiness()> state;
  /// Empty: new jobs are accepted; else why not.
  std::function<std::string_view()> refuses_jobs;
  /// An upstream called about this task; what it sent.
  std::function<void(const task_ptr&, std::string_view body)> upstream_called;
};

}  // namespace relay
