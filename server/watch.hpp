#pragma once

// Waiting for a task to change: whoever saves one wakes those who wait for its id. Loop thread.

#include <string>
#include <unordered_map>

#include "server/asio.hpp"
#include "storage/store.hpp"

namespace relay {

class watch {
 public:
  explicit watch(asio::io_context& loop) : loop_(loop) {}

  /// One who waits. Made before the write whose effects it waits for, so that nothing is missed.
  class waiter {
   public:
    waiter(watch& w, std::string id);
    ~waiter();
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    /// The newest revision since the waiter was made, as soon as it is one that `enough` accepts, or when the
    /// time is over, or at close(); null: no change was seen.
    awaitable<task_ptr> until(bool (*enough)(const task&), steady_clock::duration at_most);

   private:
    friend class watch;
    watch& watch_;
    std::string id_;
    steady_timer wake_;
    task_ptr newest_;
  };

  void notify(const task_ptr& t);
  /// Nobody waits any longer.
  void close();

 private:
  asio::io_context& loop_;
  bool closed_ = false;
  std::unordered_multimap<std::string, waiter*> waiting_;
};

}  // namespace relay
