#pragma once

// How many tasks there are of each kind that metrics show: kept with each change, never counted in the table.
// Pure.

#include <array>
#include <cstdint>

#include "common/engine/task.hpp"

namespace relay {

struct task_counts {
  std::array<std::int64_t, std::size(all_states)> by_state{};
  std::int64_t ambiguous = 0;          // submissions whose outcome is unknown
  std::int64_t callbacks_pending = 0;  // tasks with a callback that was not delivered yet

  std::int64_t& operator[](task_state s) { return by_state[static_cast<std::size_t>(s)]; }
  std::int64_t operator[](task_state s) const { return by_state[static_cast<std::size_t>(s)]; }

  void add(const task& t) { count(t, 1); }
  void remove(const task& t) { count(t, -1); }

  friend bool operator==(const task_counts&, const task_counts&) = default;

 private:
  void count(const task& t, std::int64_t by) {
    (*this)[t.state] += by;
    if (is_ambiguous(t)) ambiguous += by;
    if (is_set(t.next_callback_at)) callbacks_pending += by;
  }
};

}  // namespace relay
