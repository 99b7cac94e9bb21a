#pragma once

// How many tasks there are of each kind that metrics show: kept with each change, never counted in the table.
// Pure.

#include <array>
#include <cstdint>
#include <unordered_map>

#include "common/engine/task.hpp"

namespace relay {

struct task_counts {
  static constexpr std::int64_t bytes_of_a_reply = 8 * 1024;

  /// Of one customer.
  struct customer {
    std::int64_t pending = 0;  // wait to be submitted
    std::int64_t open = 0;     // have not ended, those that wait included

    friend bool operator==(const customer&, const customer&) = default;
  };

  std::array<std::int64_t, std::size(all_states)> by_state{};
  std::int64_t ambiguous = 0;          // submissions whose outcome is unknown
  std::int64_t callbacks_pending = 0;  // tasks with a callback that was not delivered yet

  std::int64_t open = 0;                                 // tasks that have not ended
  std::int64_t open_bytes = 0;                           // of their requests
  std::unordered_map<std::int64_t, customer> open_jobs;  // by owner; those without any are left out

  customer of(std::int64_t owner) const {
    const auto found = open_jobs.find(owner);
    return found == open_jobs.end() ? customer{} : found->second;
  }

  std::int64_t& operator[](task_state s) { return by_state[static_cast<std::size_t>(s)]; }
  std::int64_t operator[](task_state s) const { return by_state[static_cast<std::size_t>(s)]; }

  void add(const task& t) { count(t, 1); }
  void remove(const task& t) { count(t, -1); }

  friend bool operator==(const task_counts&, const task_counts&) = default;

  /// Bytes of disk that the jobs which have not ended may still take: what the upstream says of a job quotes
  /// its request.
  std::int64_t to_come() const { return 2 * open_bytes + open * bytes_of_a_reply; }

  void count_open(std::int64_t owner, task_state s, std::int64_t by, std::int64_t request_bytes) {
    open += by;
    open_bytes += by * request_bytes;
    customer& c = open_jobs[owner];
    c.open += by;
    if (s == task_state::pending) c.pending += by;
    if (c == customer{}) open_jobs.erase(owner);
  }

 private:
  void count(const task& t, std::int64_t by) {
    (*this)[t.state] += by;
    if (is_ambiguous(t)) ambiguous += by;
    if (is_set(t.next_callback_at)) callbacks_pending += by;
    if (!is_terminal(t.state)) count_open(t.owner, t.state, by, std::ssize(t.request));
  }
};

}  // namespace relay
