#pragma once

// Exponential back-off with jitter, as a pure function.

#include <algorithm>

#include "common/base/time.hpp"

namespace relay {

/// `first` doubled `failures` times, at most `most`; then spread down by up to a quarter with `jitter` in
/// [0, 1), so that many tasks that failed together do not return together.
inline milliseconds backoff(int failures, milliseconds first, milliseconds most, double jitter) {
  milliseconds delay = first;
  for (int i = 0; i < failures && delay < most; ++i) delay *= 2;
  delay = std::min(delay, most);
  return milliseconds(
      static_cast<milliseconds::rep>(static_cast<double>(delay.count()) * (1.0 - 0.25 * jitter)));
}

}  // namespace relay
