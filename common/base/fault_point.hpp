#pragma once

// Named places where a test may end the process or hold it, to see what a crash just there leaves behind. In
// the product the function is null: one load and one branch.

namespace relay {

/// Set before any thread starts; called on the thread that passes the place.
inline void (*on_fault_point)(const char* place) = nullptr;

inline void fault_point(const char* place) {
  if (on_fault_point != nullptr) on_fault_point(place);
}

}  // namespace relay
