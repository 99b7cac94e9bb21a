#pragma once

// Waiting for tasks to change: whoever saves one wakes those who wait for its id. Loop thread.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "server/asio.hpp"
#include "storage/store.hpp"

namespace relay {

class watch {
 public:
  explicit watch(asio::io_context& loop) : loop_(loop) {}

  /// Who waits to answer a request in flight waits on when the relay stops; who only listens leaves.
  enum class manner : std::uint8_t { answers, listens };

  class waiter;
  struct place {
    waiter* who;
    std::size_t index;  // of the id, in the waiter's list
  };

  /// One who waits. Made before the write whose effects it waits for, so that nothing is missed.
  class waiter {
   public:
    waiter(watch& w, std::vector<std::string> ids);
    waiter(watch& w, std::string id);
    ~waiter();
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    /// For one id: the newest revision since the waiter was made, as soon as it is one that `enough` accepts,
    /// or when the time is over or the relay stops; null: no change was seen.
    awaitable<task_ptr> until(std::function<bool(const task&)> enough, steady_clock::time_point end,
                              manner m);

    /// What has changed since the last call, in the order of the ids; waits for the first change. Empty: the
    /// time is over, or the relay stops.
    awaitable<std::vector<task_ptr>> changes(steady_clock::duration at_most);
    bool over(manner m = manner::listens) const {
      return watch_.closed_ || (m == manner::listens && watch_.draining_);
    }

   private:
    friend class watch;
    awaitable<> sleep_until(steady_clock::time_point end);

    watch& watch_;
    const std::vector<std::string> ids_;
    steady_timer wake_;
    std::vector<task_ptr> newest_;  // null: no change; same order as ids_
    std::vector<std::multimap<std::string, place, std::less<>>::iterator> places_;  // where it is to be found
  };

  void notify(const task_ptr& t);
  /// Who only listens leaves.
  void drain();
  /// Nobody waits any longer.
  void close();

 private:
  using places = std::multimap<std::string, place, std::less<>>;
  void wake_all();

  asio::io_context& loop_;
  bool draining_ = false;
  bool closed_ = false;
  places waiting_;
};

}  // namespace relay
