#pragma once

// At most so many a second: a token bucket that holds a fiftieth of a second's worth, and is filled a
// little slower than the rate, so that any second sees no more than it, bunched by the network or not. Pure.

#include <algorithm>
#include <cstdint>

#include "common/base/time.hpp"

namespace relay {

class rate {
 public:
  explicit rate(std::int64_t per_second)
      : capacity_(std::max(1.0, static_cast<double>(per_second) / 50)),
        per_micro_(static_cast<double>(per_second) * 0.95 / 1e6),
        available_(capacity_) {}

  /// True: one may go now.
  bool take(timestamp now) {
    if (is_set(since_) && now > since_) {
      available_ = std::min(capacity_, available_ + per_micro_ * static_cast<double>((now - since_).count()));
    }
    since_ = now;
    if (available_ < 1) return false;
    available_ -= 1;
    return true;
  }
  /// When the next may go, after take() said no.
  timestamp next() const {
    return since_ + std::chrono::microseconds(static_cast<std::int64_t>((1 - available_) / per_micro_) + 1);
  }

 private:
  double capacity_;
  double per_micro_;
  double available_;
  timestamp since_;
};

}  // namespace relay
