#pragma once

// What of the relay's state is a trouble that an operator should be told of. Pure.

#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include "common/engine/alerts.hpp"
#include "common/engine/submit_lane.hpp"
#include "common/engine/task_counts.hpp"
#include "server/metrics.hpp"

namespace relay {

/// Callbacks of the last quarter of an hour.
class callback_trend {
 public:
  /// Once in a while; a sample a minute is kept.
  void add(metrics::callback_counts so_far, timestamp now);
  /// Enough of them, and more that failed than were delivered.
  bool fails() const;
  metrics::callback_counts lately() const;

 private:
  struct sample {
    timestamp at;
    metrics::callback_counts so_far;
  };
  std::deque<sample> samples_;
  metrics::callback_counts newest_;
};

/// What they are judged by.
struct relay_state {
  const std::vector<submit_lane>& lanes;
  const task_counts& counts;
  bool database_stopped = false;
  std::string_view disk_refusal;  // empty: new jobs are accepted
  std::int64_t disk_free = 0;
  std::int64_t disk_needed = 0;
  std::chrono::seconds oldest_pending{0};
  milliseconds too_old{0};  // for a job that waits
  const callback_trend& callbacks;
};

std::vector<condition> troubles_of(const relay_state& s);

}  // namespace relay
