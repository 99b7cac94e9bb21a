#pragma once

// A clock for schedules: the wall clock's time, but when that is set forward or back this one follows by
// going a tenth faster or slower. So a jump neither makes everything due at once nor stalls it (rule F5). Its
// owner may have it step forward, once the deadlines have been moved (rule M11). Pure.

#include <algorithm>
#include <chrono>

#include "common/base/time.hpp"

namespace relay {

class slewed_clock {
 public:
  /// `wall`: what the wall clock says; `steady`: a time since any fixed moment that never jumps. Never goes
  /// back.
  timestamp read(timestamp wall, std::chrono::microseconds steady) {
    if (!started_) {
      started_ = true;
      shown_ = wall;
    } else {
      const auto passed = std::clamp(steady - last_, std::chrono::microseconds(0), longest_);
      const auto most = passed / 10;
      shown_ += passed + std::clamp(wall - (shown_ + passed), -most, most);
    }
    last_ = steady;
    return shown_;
  }

  /// Between two reads no more than this passes: the rest is a pause, in which nothing ran.
  void leave_out_pauses(std::chrono::microseconds longest) { longest_ = longest; }
  /// From now on it shows this time, if it is later than what it has shown.
  void step_to(timestamp t) { shown_ = std::max(shown_, t); }

 private:
  std::chrono::microseconds longest_ = std::chrono::microseconds::max();
  bool started_ = false;
  timestamp shown_;
  std::chrono::microseconds last_{0};
};

}  // namespace relay
