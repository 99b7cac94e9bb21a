#pragma once

// Delivers what is pending for clients' callback URLs: client by client in turn (engine/turn_schedule), past
// hosts and clients that have no slot (engine/delivery_slots). What a callback says, and when it is tried
// again, is in engine/callbacks. Loop thread.

#include <deque>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "common/engine/delivery_slots.hpp"
#include "common/engine/turn_schedule.hpp"
#include "config/config.hpp"
#include "server/background/callback_sender.hpp"
#include "server/background/wake_timer.hpp"
#include "server/metrics.hpp"
#include "server/task_changes.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class deliverer {
 public:
  deliverer(asio::io_context& loop, deadlines& d, resolver& names, store& s, task_changes& changes,
            const callbacks_config& c, metrics& m, spdlog::logger& log);

  /// Until stop().
  awaitable<> run();
  void stop();
  /// A task was saved: keeps the schedule, wakes run() when something is due.
  void saved(const task& t);
  std::size_t in_flight() const { return delivering_.size(); }

 private:
  /// A callback that has a slot.
  struct delivery {
    task_ptr of;
    std::string host;  // scheme and authority
    bool cool_down = false;
  };

  awaitable<bool> read_schedule();
  awaitable<timestamp> deliver_due(timestamp time);
  awaitable<> begin(turn_schedule::entry next, timestamp time);
  void set_aside(const std::string& key, const task& t);
  void take_back(const std::string& key, std::size_t most);
  awaitable<> deliver(delivery d);
  awaitable<bool> deliver_and_save(const delivery& d);
  awaitable<std::optional<task_event>> send(const delivery& d);
  void log_outcome(const task& t, const task_event& e);

  asio::io_context& loop_;
  store& store_;
  task_changes& changes_;
  metrics& metrics_;
  spdlog::logger& log_;
  callback_sender sender_;
  delivery_slots slots_;
  turn_schedule schedule_;
  // Due, and put aside until another for the same host, or of the same client, has ended.
  struct aside {
    std::string task_id;
    std::int64_t owner = 0;
    timestamp at;
  };
  std::unordered_map<std::string, std::deque<aside>> aside_;
  std::unordered_set<std::string> aside_ids_;         // of tasks
  std::unordered_map<std::string, bool> delivering_;  // ids of tasks; true: due again meanwhile
  wake_timer wake_;
  std::unordered_set<std::string>
      unreadable_;  // ids of tasks that another version of the program has written
  bool stopped_ = false;
};

}  // namespace relay
