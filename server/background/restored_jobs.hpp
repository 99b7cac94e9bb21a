#pragma once

// After a backup was restored: looks in the upstreams' lists for what happened since it was made. A job of a
// held task is followed again; a job of ours that no task has is told to the operator. What is not found
// stays held: nothing but an operator lets it go out. Loop thread.

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/engine/matching.hpp"
#include "server/background/wake_timer.hpp"
#include "server/metrics.hpp"
#include "server/task_changes.hpp"
#include "server/upstream/upstreams.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class restored_jobs {
 public:
  /// `again`: how long after one look at the lists the next follows, while tasks are held.
  restored_jobs(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, milliseconds again,
                metrics& m, spdlog::logger& log)
      : loop_(loop),
        store_(s),
        changes_(changes),
        upstreams_(all),
        again_(again),
        metrics_(m),
        log_(log),
        wake_(loop) {}

  /// Until nothing is held any more, or stop(); at once when no backup was restored.
  awaitable<> run();
  void stop();

 private:
  awaitable<bool> look(timestamp since);
  awaitable<bool> look_at(upstream& at, timestamp since);
  awaitable<> take(upstream& at, const listed_job& shown);

  asio::io_context& loop_;
  store& store_;
  task_changes& changes_;
  upstreams& upstreams_;
  const milliseconds again_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::unordered_set<std::string> unknown_;  // jobs of ours without a task, told already
  wake_timer wake_;
  bool stopped_ = false;
};

}  // namespace relay
