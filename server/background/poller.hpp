#pragma once

// Follows every open job to its end: asks about those that are due, one question in flight per task. Loop
// thread.

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/lifecycle.hpp"
#include "server/background/alarm.hpp"
#include "server/metrics.hpp"
#include "server/upstream/upstream.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class poller {
 public:
  poller(asio::io_context& loop, store& s, std::vector<std::unique_ptr<upstream>>& upstreams, const policy& p,
         std::int64_t concurrency, metrics& m, spdlog::logger& log);

  /// Until stop().
  awaitable<> run();
  void stop();
  /// A task was saved: wakes run() when it is due.
  void saved(const task& t);
  std::size_t in_flight() const { return asking_.size(); }

 private:
  awaitable<> ask(task t);
  awaitable<> ask_and_save(task t);
  upstream* find(const std::string& name) const;

  asio::io_context& loop_;
  store& store_;
  std::vector<std::unique_ptr<upstream>>& upstreams_;
  const policy policy_;
  const std::size_t concurrency_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::unordered_set<std::string> asking_;
  alarm alarm_;
  bool stopped_ = false;
};

}  // namespace relay
