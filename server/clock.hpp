#pragma once

// The time, as an argument for the pure code.

#include <chrono>

#include "common/base/slewed_clock.hpp"

namespace relay {

/// What the system's clock says; tests put another in its place, before any thread reads it.
inline timestamp (*wall_clock)() = [] {
  return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
};

/// One a thread.
inline slewed_clock& this_threads_clock() {
  thread_local slewed_clock clock;
  return clock;
}

/// The time schedules are made with and compared to, see slewed_clock.
inline timestamp now() {
  return this_threads_clock().read(wall_clock(), std::chrono::duration_cast<std::chrono::microseconds>(
                                                     std::chrono::steady_clock::now().time_since_epoch()));
}

}  // namespace relay
