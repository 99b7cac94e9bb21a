#pragma once

// Pays what is owed: tells clients' callback URLs how their tasks stand, in the dialect each was created in,
// one message at a time for a task and in order, at least once. A host that does not answer has only its own
// callbacks waiting. Loop thread.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "common/engine/lifecycle.hpp"
#include "common/base/url.hpp"
#include "config/config.hpp"
#include "server/background/alarm.hpp"
#include "server/background/callback_guard.hpp"
#include "server/http/deadline.hpp"
#include "server/metrics.hpp"
#include "server/upstream/exchange.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class deliverer {
 public:
  deliverer(asio::io_context& loop, deadlines& d, store& s, const policy& p, const callbacks_config& c,
            metrics& m, spdlog::logger& log);

  /// Until stop().
  awaitable<> run();
  void stop();
  /// A task was saved: wakes run() when something is due.
  void saved(const task& t);
  std::size_t in_flight() const { return telling_.size(); }

 private:
  /// How a host fares.
  struct host_state {
    std::size_t in_flight = 0;
    int failures = 0;  // in a row
    timestamp not_before;
  };

  bool hand_out(timestamp time);
  awaitable<> tell(owed_callback c, std::string host, bool resting);
  awaitable<> tell_and_save(const std::string& task_id, const std::string& host, bool resting);
  awaitable<std::optional<task_event>> deliver(const task& t, const std::string& host);
  awaitable<exchange> post(const web_address& to, const std::string& request, std::int64_t owner,
                           bool& forbidden);
  awaitable<> save_outcome(const std::string& task_id, int message, task_event e);

  asio::io_context& loop_;
  deadlines& deadlines_;
  store& store_;
  const policy policy_;
  const callbacks_config config_;
  metrics& metrics_;
  spdlog::logger& log_;
  callback_guard guard_;
  tls_client tls_;
  std::unordered_map<std::string, host_state> hosts_;       // of one client each; in flight or in trouble
  std::unordered_map<std::int64_t, std::size_t> by_owner_;  // deliveries in flight
  std::unordered_set<std::string> telling_;                 // ids of tasks
  callback_cursor cursor_;                                  // where the next look goes on
  bool started_in_round_ = false;                           // of looks, from the first due to the last
  alarm alarm_;
  bool stopped_ = false;
};

}  // namespace relay
