#pragma once

// A background loop's sleep: until a wall-clock time from the schedule, or until somebody nudges. Delays run
// on the monotonic clock, at most a second at a time, so that a jump of the wall clock neither bursts nor
// stalls. Loop thread.

#include <algorithm>

#include "common/base/time.hpp"
#include "server/asio.hpp"

namespace relay {

class alarm {
 public:
  explicit alarm(asio::io_context& loop) : timer_(loop.get_executor()) {}

  /// Returns when `at` has come, or a second has passed, or after a nudge since the last call. Others run in
  /// between in every case: what they have finished is seen by who comes back.
  awaitable<> wait(timestamp time, timestamp at) {
    std::chrono::microseconds delay(0);
    if (!nudged_) {
      const auto longest = std::chrono::microseconds(1'000'000);
      delay = is_set(at) ? std::clamp(at - time, delay, longest) : longest;
    }
    planned_ = time + delay;
    timer_.expires_after(delay);
    co_await timer_.async_wait(as_result);
    planned_ = never;
    nudged_ = false;
  }

  void nudge() {
    nudged_ = true;
    timer_.cancel();
  }

  /// Something new is due at `at`: nudges if that is sooner than the planned end of the sleep.
  void consider(timestamp at) {
    if (is_set(planned_) && at < planned_) nudge();
  }

 private:
  steady_timer timer_;
  timestamp planned_ = never;
  bool nudged_ = false;
};

}  // namespace relay
