#pragma once

// Finds out what became of submissions whose answer was lost: reads the upstream's list and lets
// common/reconcile say which job is ours. One look at a list serves all tasks that are due there. Loop
// thread.

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/engine/matching.hpp"
#include "server/background/alarm.hpp"
#include "server/background/dispatcher.hpp"
#include "server/metrics.hpp"
#include "server/upstream/upstream.hpp"
#include "storage/store.hpp"

namespace relay {

class reconciler {
 public:
  reconciler(asio::io_context& loop, store& s, std::vector<std::unique_ptr<upstream>>& upstreams,
             const dispatcher& submit, const policy& p, metrics& m, spdlog::logger& log);

  /// Until stop().
  awaitable<> run();
  void stop();
  /// A task was saved: wakes run() when it is due.
  void saved(const task& t);
  /// The upstream called about this task: it is worth a look now.
  void hint(const task& t);
  std::size_t in_flight() const { return looking_.size(); }

 private:
  awaitable<> look(std::string upstream_name, std::vector<task> due);
  awaitable<> look_at(upstream* at, std::vector<task> due);
  awaitable<result<listing>> read_list(upstream& at, std::vector<task>& wanted);
  awaitable<> settle(const task& t, task_event e, std::string_view upstream_name);

  asio::io_context& loop_;
  store& store_;
  std::vector<std::unique_ptr<upstream>>& upstreams_;
  const dispatcher& submit_;
  const policy policy_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::unordered_set<std::string> looking_;  // upstreams whose list is being read
  std::unordered_set<std::string> hinted_;   // tasks
  alarm alarm_;
  bool stopped_ = false;
};

}  // namespace relay
