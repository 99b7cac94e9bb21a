#pragma once

// The one way to submit. A new job that an upstream can take at once is written as `submitting` and sent;
// every other waits on disk as `pending` and goes out, oldest first, when an upstream can take it. Loop
// thread.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/engine/lifecycle.hpp"
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
  /// `public_url`: where upstreams are told to call; empty: they are told nothing.
  dispatcher(asio::io_context& loop, store& s, std::vector<std::unique_ptr<upstream>>& upstreams,
             const policy& p, std::string public_url, metrics& m, spdlog::logger& log);

  /// Reads which jobs each upstream has; hands the tasks that a dead process left in `submitting` to the
  /// reconciler. Errors: storage_unavailable.
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
  /// Gives the slot back: the task was not inserted.
  void release(const task& t);

  /// What is submitted for a task; the reconciler compares the upstream's list with it.
  result<outgoing> request_for(const task& t, const upstream& to) const;

  /// A task was saved: keeps count of open jobs, wakes run() when it is due.
  void saved(const task& t);
  std::size_t in_flight() const { return sending_.size(); }

 private:
  awaitable<> submit_pending(task t, std::optional<std::size_t> lane_index);
  awaitable<bool> record_start(task& t, std::optional<std::size_t> lane_index);
  awaitable<> send(task t);
  awaitable<> send_and_save(const task& t);
  awaitable<> save_surely(task t);
  void hand_out(timestamp time);
  void reserve(std::size_t lane_index, const std::string& id, timestamp time);
  void hold(const std::string& id, std::size_t lane_index);
  void let_go(const std::string& id);
  event::submit_started start_on(std::size_t lane_index, const task& t) const;
  bool any_wanted() const;
  std::size_t lane_of(const std::string& name) const;

  asio::io_context& loop_;
  store& store_;
  std::vector<std::unique_ptr<upstream>>& upstreams_;
  const policy policy_;
  const std::string public_url_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::vector<lane> lanes_;  // same order as upstreams_
  std::unordered_set<std::string> sending_;
  std::unordered_map<std::string, std::size_t> holders_;  // open jobs, and the lane that each counts in
  alarm alarm_;
  bool stopped_ = false;
  bool abandoned_ = false;
};

}  // namespace relay
