#pragma once

// A background loop's sleep: until a wall-clock time from the schedule, or until it is notified. Delays run
// on the monotonic clock, at most a second at a time, so that a jump of the wall clock neither bursts nor
// stalls. Loop thread.

#include <algorithm>

#include "common/base/time.hpp"
#include "server/asio.hpp"

namespace relay {

class wake_timer {
 public:
  explicit wake_timer(asio::io_context& loop) : timer_(loop.get_executor()) {}

  /// Returns when `at` has come, or a second has passed, or after notify() since the last call; `never`: a
  /// second. Others run in between in every case: what they have finished is seen afterwards.
  awaitable<> wait(timestamp time, timestamp at) {
    std::chrono::microseconds delay(0);
    // What was announced while the loop was at work may be missing in `at`.
    if (is_set(announced_) && (!is_set(at) || announced_ < at)) at = announced_;
    if (!notified_) {
      constexpr auto longest = std::chrono::microseconds(1'000'000);
      delay = is_set(at) ? std::clamp(at - time, delay, longest) : longest;
    }
    asleep_until_ = time + delay;
    timer_.expires_after(delay);
    co_await timer_.async_wait(as_result);
    asleep_until_ = announced_ = never;
    notified_ = false;
  }

  void notify() {
    notified_ = true;
    timer_.cancel();
  }

  /// Something new is due at `at`: ends the sleep if that is sooner.
  void notify_by(timestamp at) {
    if (!is_set(asleep_until_)) {
      if (!is_set(announced_) || at < announced_) announced_ = at;
    } else if (at < asleep_until_) {
      notify();
    }
  }

 private:
  steady_timer timer_;
  timestamp asleep_until_ = never;  // never: the loop is at work
  timestamp announced_ = never;     // earliest notify_by() since it began to work
  bool notified_ = false;
};

}  // namespace relay
