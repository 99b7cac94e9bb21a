#pragma once

// Deletes at the upstream what its client has deleted here and what has ended there, when the configuration
// says so: each job once it has ended, again after a failure, for some days. Loop thread.

#include <memory>
#include <vector>

#include "server/background/wake_timer.hpp"
#include "server/metrics.hpp"
#include "server/task_changes.hpp"
#include "server/upstream/upstreams.hpp"

namespace relay {

class remover {
 public:
  remover(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, metrics& m,
          spdlog::logger& log);

  /// Until stop().
  awaitable<> run();
  void stop();
  /// A task was saved: wakes run() when it is due.
  void saved(const task& t);
  std::size_t in_flight() const { return in_flight_; }

 private:
  awaitable<> remove_all(upstream* at, std::vector<task_ptr> tasks);
  awaitable<bool> remove(upstream* at, const task& t);
  awaitable<bool> save(std::string id, task_event e);
  void pause();

  asio::io_context& loop_;
  store& store_;
  task_changes& changes_;
  upstreams& upstreams_;
  metrics& metrics_;
  spdlog::logger& log_;
  wake_timer wake_;
  timestamp paused_until_;
  std::size_t in_flight_ = 0;
  bool stopped_ = false;
};

}  // namespace relay
