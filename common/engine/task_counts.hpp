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

  /// Of one account, or of one token.
  struct customer {
    std::int64_t pending = 0;  // wait to be submitted
    std::int64_t open = 0;     // have not ended, those that wait included

    friend bool operator==(const customer&, const customer&) = default;
  };

  std::array<std::int64_t, std::size(all_states)> by_state{};
  std::int64_t ambiguous = 0;          // submissions whose outcome is unknown
  std::int64_t callbacks_pending = 0;  // tasks with a callback that was not delivered yet

  std::int64_t open = 0;        // tasks that have not ended
  std::int64_t open_bytes = 0;  // of their requests
  // Those without any are left out.
  std::unordered_map<std::int64_t, customer> of_accounts, of_tokens;

  customer of(std::int64_t owner) const { return found_in(of_accounts, owner); }
  customer of_token(std::int64_t token) const { return found_in(of_tokens, token); }

  std::int64_t& operator[](task_state s) { return by_state[static_cast<std::size_t>(s)]; }
  std::int64_t operator[](task_state s) const { return by_state[static_cast<std::size_t>(s)]; }

  void add(const task& t) { count(t, 1); }
  void remove(const task& t) { count(t, -1); }

  friend bool operator==(const task_counts&, const task_counts&) = default;

  /// Bytes of disk that the jobs which have not ended may still take: what the upstream says of a job quotes
  /// its request.
  std::int64_t to_come() const { return 2 * open_bytes + open * bytes_of_a_reply; }

  void count_open(std::int64_t owner, std::int64_t token, task_state s, std::int64_t by,
                  std::int64_t request_bytes) {
    open += by;
    open_bytes += by * request_bytes;
    count_in(of_accounts, owner, s, by);
    count_in(of_tokens, token, s, by);
  }

 private:
  using customers = std::unordered_map<std::int64_t, customer>;
  static customer found_in(const customers& all, std::int64_t id) {
    const auto found = all.find(id);
    return found == all.end() ? customer{} : found->second;
  }
  static void count_in(customers& all, std::int64_t id, task_state s, std::int64_t by) {
    customer& c = all[id];
    c.open += by;
    if (s == task_state::pending) c.pending += by;
    if (c == customer{}) all.erase(id);
  }
  void count(const task& t, std::int64_t by) {
    (*this)[t.state] += by;
    if (is_ambiguous(t)) ambiguous += by;
    if (is_set(t.next_callback_at)) callbacks_pending += by;
    if (!is_terminal(t.state)) count_open(t.owner, token_of(t), t.state, by, std::ssize(t.request));
  }
};

}  // namespace relay
