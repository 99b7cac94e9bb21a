#pragma once

// Absolute deadlines for many connections from one coarse timer: arming one is two stores, not a timer
// operation. Good to a tick (100 ms). Loop thread.

#include "server/asio.hpp"

namespace relay {

class deadlines {
 public:
  /// Something with a deadline. Owned by the part that waits; unlinks itself.
  class entry {
   public:
    /// `fire` is called once, on the loop thread, when the deadline has passed.
    entry(deadlines& all, void (*fire)(void*), void* argument);
    ~entry();
    entry(const entry&) = delete;
    entry& operator=(const entry&) = delete;

    void arm(steady_clock::duration after) { at_ = steady_clock::now() + after; }
    void disarm() { at_ = steady_clock::time_point::max(); }

   private:
    friend class deadlines;
    steady_clock::time_point at_ = steady_clock::time_point::max();
    void (*fire_)(void*);
    void* argument_;
    deadlines& all_;
    entry* next_;
    entry** link_;  // what points at this entry
  };

  explicit deadlines(asio::io_context& loop) : timer_(loop.get_executor()) {}

  /// Runs until stop().
  awaitable<> run();
  void stop();
  /// From now on every armed deadline has passed: every wait for a peer, also one that begins later, ends at
  /// the next sweep.
  void expire_all();
  bool expiring() const { return expiring_; }

 private:
  void sweep();

  steady_timer timer_;
  entry* first_ = nullptr;
  entry* cursor_ = nullptr;  // the next entry of a sweep in progress; an entry that goes away moves it on
  bool expiring_ = false;
  bool stopped_ = false;
};

}  // namespace relay
