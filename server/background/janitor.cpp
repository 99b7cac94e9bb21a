#include "server/background/janitor.hpp"

#include <spdlog/logger.h>

#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/handlers/repeats.hpp"

namespace relay {
namespace {

constexpr std::int64_t at_once = 500;  // rows in one write: others wait for no longer
constexpr std::chrono::minutes between{1};
constexpr std::chrono::milliseconds breath{50};

}  // namespace

awaitable<> janitor::run() {
  while (!stopped_) {
    std::int64_t most = 0;
    const timestamp forgotten = now() - handlers::keys_kept;
    auto forget = [&](written<std::int64_t> done) {
      store_.purge_claims(forgotten, at_once, std::move(done));
    };
    auto claims = co_await await_written<std::int64_t>(std::move(forget));
    if (claims) most = *claims;
    if (keep_ended_.count() > 0 && !stopped_) {
      const timestamp old = now() - keep_ended_;
      auto remove = [&](written<std::int64_t> done) { store_.purge_tasks(old, at_once, std::move(done)); };
      auto tasks = co_await await_written<std::int64_t>(std::move(remove));
      if (tasks) most = std::max(most, *tasks);
      if (tasks && *tasks > 0)
        log_.info("{} tasks that ended before {} were deleted", *tasks, to_iso(old, precision::milliseconds));
    }
    if (stopped_) break;
    if (most == at_once) {
      pause_.expires_after(breath);
    } else {
      pause_.expires_after(between);
    }
    co_await pause_.async_wait(as_result);
  }
}

void janitor::stop() {
  stopped_ = true;
  pause_.cancel();
}

}  // namespace relay
