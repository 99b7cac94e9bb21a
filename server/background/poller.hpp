#pragma once

// Follows every open job to its end: polls each upstream for those of its jobs that are due, customer by
// customer (engine/turn_schedule), one poll in flight per task, within the upstream's own limits, so that one
// that hangs delays no other. The schedule is in memory and follows each save. Loop thread.

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/engine/outcome.hpp"
#include "common/engine/rate.hpp"
#include "common/engine/turn_schedule.hpp"
#include "server/background/wake_timer.hpp"
#include "server/metrics.hpp"
#include "server/task_changes.hpp"
#include "server/upstream/upstreams.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class poller {
 public:
  /// `concurrency`: polls in flight at once, for each upstream.
  poller(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, std::int64_t concurrency,
         metrics& m, spdlog::logger& log);

  /// After a reload: the upstreams are as they are now.
  void use_upstreams();
  /// Until stop().
  awaitable<> run();
  void stop();
  /// A task was saved: wakes run() when it is due.
  void saved(const task& t);
  /// The upstream called about this task: it is polled now.
  void hint(const task_ptr& t);
  std::size_t in_flight() const { return polling_.size(); }
  /// Tasks that should have been polled before `before`.
  std::int64_t overdue(timestamp before) const;

 private:
  /// One upstream as a target of polls.
  struct poll_lane {
    std::string name;
    upstream* from = nullptr;    // null: no upstream of this name is configured any more
    rate without_upstream{100};  // its jobs are looked at, to come to their deadline
    turn_schedule schedule;
    std::size_t in_flight = 0;
    timestamp cool_down_until;
    timestamp well_at;     // a poll showed a job, or its list was read
    timestamp checked_at;  // its list was asked for, to see whether it is well
    // Its list as it was read last, back to listed_since.
    std::unordered_set<std::string> listed;
    timestamp listed_at;
    timestamp listed_since;
    bool listing = false;  // it is being read
  };
  struct not_found_check {
    std::string why_not;     // why this 404 says nothing of the job; empty: it counts
    bool confirmed = false;  // it may be the last: see event::poll_failed
  };

  void poll_now(poll_lane& l, const std::string& id, std::int64_t owner);
  awaitable<bool> read_schedule();
  timestamp poll_due(poll_lane& l, timestamp time);
  awaitable<> poll(poll_lane& l, turn_schedule::entry what);
  awaitable<std::optional<timestamp>> poll_and_save(poll_lane& l, std::string id);
  awaitable<poll_outcome> ask(poll_lane& l, const task& t);
  awaitable<not_found_check> check_not_found(poll_lane& l, upstream& at, const task& t);
  awaitable<bool> is_well(poll_lane& l, upstream& at);
  awaitable<bool> read_list(poll_lane& l, upstream& at, timestamp since);
  poll_lane* find_lane(const std::string& name);
  poll_lane& lane_of(const std::string& name);

  asio::io_context& loop_;
  store& store_;
  task_changes& changes_;
  upstreams& upstreams_;
  const std::size_t concurrency_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::vector<std::unique_ptr<poll_lane>> lanes_;
  /// A poll that had no news is not written: the time of the next one is in memory alone, as long as the task
  /// is saved with the time that is on disk.
  struct put_off {
    timestamp on_disk;
    timestamp until;
  };
  std::unordered_map<std::string, put_off> put_off_;  // open jobs
  std::unordered_set<std::string> polling_;
  std::unordered_set<std::string> hinted_;            // polled now, whenever they are due
  std::unordered_set<std::string> hinted_meanwhile_;  // while they were polled: once more
  wake_timer wake_;
  bool stopped_ = false;
};

}  // namespace relay
