#pragma once

// Delivers what is pending for clients' callback URLs, in the order in which it is due, past hosts and
// clients that have no slot (engine/delivery_slots). What a callback says, and when it is tried again, is in
// engine/callbacks. Loop thread.

#include <string>
#include <unordered_set>

#include "common/engine/delivery_slots.hpp"
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
  /// A task was saved: wakes run() when something is due.
  void saved(const task& t);
  std::size_t in_flight() const { return delivering_.size(); }

 private:
  /// A callback that has a slot.
  struct delivery {
    std::string task_id;
    std::int64_t owner = 0;
    std::string host;  // scheme and authority
    bool cool_down = false;
  };

  awaitable<bool> deliver_due(timestamp time);
  bool begin(const due_callback& c, timestamp time);
  awaitable<> deliver(delivery d);
  awaitable<> deliver_and_save(const delivery& d);
  awaitable<std::optional<task_event>> send(const task& t, const delivery& d);
  void log_outcome(const task& t, const task_event& e);

  asio::io_context& loop_;
  store& store_;
  task_changes& changes_;
  metrics& metrics_;
  spdlog::logger& log_;
  callback_sender sender_;
  delivery_slots slots_;
  std::unordered_set<std::string> delivering_;  // ids of tasks
  schedule_cursor cursor_;                      // where the next reading goes on
  bool started_in_round_ = false;               // of readings, from the first due to the last
  wake_timer wake_;
  std::unordered_set<std::string>
      unreadable_;  // ids of tasks that another version of the program has written
  bool stopped_ = false;
};

}  // namespace relay
