#pragma once

// When something is due for each task, a poll or a callback, and whose turn it is when several are: owners
// take turns, each one's most overdue task goes first. Pure. One thread.

#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/base/time.hpp"

namespace relay {

class turn_schedule {
 public:
  struct entry {
    std::string task_id;
    std::int64_t owner = 0;
  };

  /// Instead of the time it had, if it had one.
  void set(const std::string& task_id, std::int64_t owner, timestamp at);
  void erase(const std::string& task_id);
  bool contains(const std::string& task_id) const { return jobs_.contains(task_id); }

  /// Takes out the next one that is due.
  std::optional<entry> pop(timestamp now);
  bool any_due(timestamp now);
  /// Of the earliest; `never` when it is empty.
  timestamp next() const;
  /// Those that were due before `before`: as many steps.
  std::int64_t count_before(timestamp before) const;
  std::size_t size() const { return jobs_.size(); }

 private:
  using place = std::pair<timestamp, std::string>;
  struct customer {
    std::set<place> jobs;
    bool in_turn = false;  // stands in turns_; otherwise in heads_
  };
  struct job {
    std::int64_t owner;
    timestamp at;
  };
  void take_turns(timestamp now);
  void stand_in_line(std::int64_t owner, customer& c, const std::optional<timestamp>& head_before);

  std::unordered_map<std::string, job> jobs_;
  std::unordered_map<std::int64_t, customer> customers_;
  std::set<std::pair<timestamp, std::int64_t>> heads_;  // customers by their earliest job
  std::deque<std::int64_t> turns_;                      // customers with a job that was due
};

}  // namespace relay
