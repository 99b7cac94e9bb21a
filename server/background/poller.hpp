#pragma once

// Follows every open job to its end: asks each upstream about those of its jobs that are due, one question in
// flight per task, within the upstream's own limits, so that one that hangs delays nobody else's. Loop
// thread.

#include <deque>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/engine/lifecycle.hpp"
#include "server/background/alarm.hpp"
#include "server/background/rate.hpp"
#include "server/metrics.hpp"
#include "server/upstream/upstream.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class poller {
 public:
  /// `concurrency`: polls in flight at once, for each upstream.
  poller(asio::io_context& loop, store& s, std::vector<std::unique_ptr<upstream>>& upstreams, const policy& p,
         std::int64_t concurrency, metrics& m, spdlog::logger& log);

  /// Until stop().
  awaitable<> run();
  void stop();
  /// A task was saved: wakes run() when it is due.
  void saved(const task& t);
  /// The upstream called about this task: it is asked about now.
  void hint(const task& t);
  std::size_t in_flight() const { return asking_.size(); }

 private:
  struct lane {
    std::string name;
    upstream* from = nullptr;  // null: no upstream of this name is configured any more
    rate limit{1};
    std::deque<std::string> ready;  // ids that were due when they were read
    std::size_t in_flight = 0;
    timestamp not_before;  // it asked to be left alone
  };

  timestamp turn(lane& l, timestamp time);
  awaitable<> ask(lane& l, task_ptr t);
  awaitable<> ask_and_save(lane& l, const task& t);
  lane* lane_of(const std::string& name);

  asio::io_context& loop_;
  store& store_;
  const policy policy_;
  const std::size_t concurrency_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::vector<std::unique_ptr<lane>> lanes_;
  std::unordered_set<std::string> asking_;
  std::unordered_set<std::string> hinted_;
  alarm alarm_;
  bool stopped_ = false;
};

}  // namespace relay
