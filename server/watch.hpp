#pragma once

// Waiting for tasks to change: a save wakes those that wait for its id. Loop thread.

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

  /// What a waiter does when the relay stops: one that must respond to a request in flight stays, one that
  /// only follows a task leaves.
  enum class on_drain : std::uint8_t { stay, leave };

  class waiter;
  struct place {
    waiter* of;
    std::size_t index;  // of the id, in the waiter's list
  };

  /// Waits for changes. Made before the write whose effects it waits for, so that nothing is missed.
  class waiter {
   public:
    waiter(watch& w, std::vector<std::string> ids);
    waiter(watch& w, std::string id);
    ~waiter();
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    /// For one id: the newest revision since the waiter was made, as soon as it is one that `enough` accepts,
    /// or when the time is over or the relay stops; null: no change was seen. `may_wait` is asked at first
    /// and after each look_again(): false ends it.
    awaitable<task_ptr> until(
        std::function<bool(const task&)> enough, steady_clock::time_point end, on_drain d,
        std::function<bool()> may_wait = [] { return true; });

    /// What has changed since the last call, in the order of the ids; waits for the first change. Empty: the
    /// time is over, the relay stops, or look_again() was called.
    awaitable<std::vector<task_ptr>> changes(steady_clock::duration at_most);
    bool over(on_drain d = on_drain::leave) const {
      return watch_.closed_ || (d == on_drain::leave && watch_.draining_);
    }

   private:
    friend class watch;
    awaitable<> sleep_until(steady_clock::time_point end);

    watch& watch_;
    const std::vector<std::string> ids_;
    steady_timer wake_;
    std::vector<task_ptr> newest_;  // null: no change; same order as ids_
    std::vector<std::multimap<std::string, place, std::less<>>::iterator> places_;
  };

  void notify(const task_ptr& t);
  /// Those that follow tasks look whether they still may: a token was revoked.
  void look_again();
  /// Waiters that leave on drain end.
  void drain();
  /// Every wait ends.
  void close();

 private:
  using places = std::multimap<std::string, place, std::less<>>;
  void wake_all();

  asio::io_context& loop_;
  std::uint64_t looks_ = 0;
  bool draining_ = false;
  bool closed_ = false;
  places waiting_;
};

}  // namespace relay
