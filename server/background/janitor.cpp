#include "server/background/janitor.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/engine/idempotency.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"

namespace relay {
namespace {

constexpr std::int64_t at_once = 500;  // rows in one write: others wait for no longer
constexpr std::chrono::minutes between{1};
constexpr std::chrono::milliseconds between_full_batches{50};

}  // namespace

awaitable<> janitor::run() {
  while (!stopped_) {
    const timestamp forgotten = now() - keys_kept;
    const auto records = co_await from_store(store_, &store::purge_idempotency, forgotten, at_once);
    std::int64_t most = records ? *records : 0;
    if (keep_ended_.count() > 0 && !stopped_) {
      const std::int64_t tasks = co_await purge_tasks();
      most = std::max(most, tasks);
    }
    if (stopped_) break;
    pause_.expires_after(most == at_once ? steady_clock::duration(between_full_batches) : between);
    co_await pause_.async_wait(as_result);
  }
}

// How many; a failure is none, and there is a next time.
awaitable<std::int64_t> janitor::purge_tasks() {
  const timestamp old = now() - keep_ended_;
  const auto tasks = co_await from_store(store_, &store::purge_tasks, old, at_once);
  if (!tasks) co_return 0;
  if (*tasks > 0)
    log_.info("{} tasks that ended before {} were deleted", *tasks, to_iso(old, precision::milliseconds));
  co_return *tasks;
}

void janitor::stop() {
  stopped_ = true;
  pause_.cancel();
}

}  // namespace relay
