#pragma once

// A clock for schedules: the wall clock's time, but when that is set forward or back this one follows by
// going a tenth faster or slower. So a jump neither makes everything due at once nor stalls it (rule F5).
// Pure.

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
      const auto passed = std::max(steady - last_, std::chrono::microseconds(0));
      const auto most = passed / 10;
      shown_ += passed + std::clamp(wall - (shown_ + passed), -most, most);
    }
    last_ = steady;
    return shown_;
  }

 private:
  bool started_ = false;
  timestamp shown_;
  std::chrono::microseconds last_{0};
};

}  // namespace relay
