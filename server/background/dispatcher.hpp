#pragma once

// The one way to submit. A new job that an upstream can take at once is written as `submitting` and sent;
// every other waits on disk as `pending` and goes out, oldest first, when an upstream can take it. Loop
// thread.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/lifecycle.hpp"
#include "server/background/alarm.hpp"
#include "server/metrics.hpp"
#include "server/upstream/failover.hpp"
#include "server/upstream/upstream.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class dispatcher {
 public:
  dispatcher(asio::io_context& loop, store& s, std::vector<std::unique_ptr<upstream>>& upstreams,
             const policy& p, metrics& m, spdlog::logger& log);

  /// Reads how many jobs each upstream has; fails the tasks that a dead process left in `submitting`.
  /// Errors: storage_unavailable.
  awaitable<result<void>> recover();

  /// Hands out pending tasks until stop().
  awaitable<> run();
  void stop();
  /// The grace is over: outcomes that the disk will not take are given up.
  void abandon() { abandoned_ = true; }

  /// For a new task: `submitting` on an upstream that has a slot for it, reserved; else `pending`, as it
  /// came.
  task assign(task t);
  /// Sends a task that assign() gave a slot, after it was inserted. Goes on by itself.
  void launch(task t);
  /// Gives the slot back: the insert failed.
  void release(const std::string& upstream_name);

  /// A task was saved: keeps count of open jobs, wakes run() when it is due.
  void saved(const task& t);
  std::size_t in_flight() const { return sending_.size(); }

 private:
  awaitable<> submit_pending(task t, std::optional<std::size_t> lane_index);
  awaitable<bool> record_start(task& t, std::optional<std::size_t> lane_index);
  awaitable<> send(task t);
  awaitable<> send_and_save(const task& t);
  awaitable<> save_surely(task t);
  void hand_out(timestamp now);
  void reserve(std::size_t lane_index);
  void free(std::size_t lane_index);
  bool any_wanted() const;
  std::size_t lane_of(const std::string& name) const;

  asio::io_context& loop_;
  store& store_;
  std::vector<std::unique_ptr<upstream>>& upstreams_;
  const policy policy_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::vector<lane> lanes_;  // same order as upstreams_
  std::unordered_set<std::string> sending_;
  alarm alarm_;
  bool stopped_ = false;
  bool abandoned_ = false;
};

}  // namespace relay
