#pragma once

// Waiting for a task to change: whoever saves one wakes those who wait for its id. Loop thread.

#include <optional>
#include <string>
#include <unordered_map>

#include "common/task.hpp"
#include "server/asio.hpp"

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

    /// The newest state after the waiter was made that is not `submitting` nor `pending`, or whatever is
    /// known when the time is over; nullopt: no change was seen.
    awaitable<std::optional<task>> submitted(steady_clock::duration at_most);

   private:
    friend class watch;
    watch& watch_;
    std::string id_;
    steady_timer wake_;
    std::optional<task> newest_;
  };

  void notify(const task& t);

 private:
  asio::io_context& loop_;
  std::unordered_multimap<std::string, waiter*> waiting_;
};

}  // namespace relay
