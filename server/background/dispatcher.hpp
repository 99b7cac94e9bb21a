#pragma once

// The one way to submit. A new job that an upstream can take at once is written as `submitting` and sent;
// every other waits on disk as `pending` and goes out when an upstream can take it: customer by customer,
// each one's oldest first (engine/submit_queues). Which upstream gets it is decided in engine/submit_lane,
// what its response means in engine/outcome. Loop thread.

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/engine/outcome.hpp"
#include "common/engine/submit_slots.hpp"
#include "server/background/wake_timer.hpp"
#include "server/metrics.hpp"
#include "server/task_changes.hpp"
#include "server/upstream/upstreams.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class dispatcher {
 public:
  struct identity {
    std::string instance;    // of this process: who submits
    std::string public_url;  // where upstreams can call the relay; empty: they get no address
    /// Of an account: how many of its jobs go out in one turn.
    std::function<int(std::int64_t)> weight_of = [](std::int64_t) { return 1; };
  };
  dispatcher(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, identity who,
             metrics& m, spdlog::logger& log);
  ~dispatcher();

  /// What the store knows of lanes.
  struct lane_facts {
    std::string name;
    lane_memory memory;
    std::vector<std::string> open;  // ids of the tasks whose jobs it has
  };
  /// Errors: storage_unavailable.
  awaitable<result<std::vector<lane_facts>>> read_facts(std::vector<std::string> names);
  /// The lanes are these, at these places of all upstreams, and no others take jobs; those that were not
  /// known get their facts before any job goes there. Jobs that wait are looked at anew.
  void use(const std::vector<planned_upstream>& plan, const std::vector<std::size_t>& places,
           const std::vector<lane_facts>& facts);
  const std::vector<submit_lane>& lanes() const { return slots_->lanes(); }
  /// On disk when it returns. Errors: those of a write.
  awaitable<result<void>> set_mode(std::size_t lane, lane_mode m);
  /// Writes down what is to be known of the lanes after a restart. Errors: those of a write.
  awaitable<result<void>> keep_lanes();

  /// Reads which jobs each upstream has, and whose jobs wait; hands the tasks that a process which has ended
  /// left in `submitting` to the reconciler. Errors: storage_unavailable.
  awaitable<result<void>> recover();

  /// Submits pending tasks, and fails those that waited too long, until stop().
  awaitable<> run();
  void stop();

  /// A new task, and the slot that it goes out on: `submitting`, once it is inserted; without a slot
  /// `pending`, as it came.
  struct assigned {
    std::shared_ptr<task> value;
    std::optional<submit_slots::lease> slot;
  };
  assigned assign(std::shared_ptr<task> t);
  /// Sends a task that assign() gave a slot, after it was inserted. Goes on by itself.
  void launch(task_ptr t, submit_slots::lease slot);
  /// True when an upstream of the configuration could take the task at some time.
  bool any_serves(const task& t) const { return slots_->any_serves(t); }
  /// See submit_slots.
  bool only_drained(const task& t) const { return slots_->only_drained(t); }
  /// Why none could, for a client.
  std::string why_none_serves(const task& t) const { return slots_->why_none_serves(t); }

  /// A task was saved: keeps count of open jobs, wakes run() when it is due.
  void saved(const task& t);
  std::size_t in_flight() const { return sending_.size(); }

 private:
  awaitable<timestamp> submit_due(timestamp time);
  awaitable<bool> offer_again(timestamp time);
  awaitable<> remember();
  void learn(const lane_facts& f);
  awaitable<bool> read_on(submit_queue q);
  awaitable<bool> begin(submit_queues::waiting next, timestamp time);
  void wait_again(const task& t);

  awaitable<> expire();
  awaitable<timestamp> expire_due(timestamp time);
  awaitable<> expire_one(task_ptr t);

  awaitable<> submit_pending(task_ptr t, submit_slots::lease slot);
  awaitable<task_ptr> record_start(const task& t, const submit_slots::lease& slot);
  awaitable<> send(task_ptr t, submit_slots::lease slot);
  awaitable<> exchange_and_save(const task& t, const submit_slots::lease& slot);
  awaitable<> save_outcome(const task& t, task_event e, std::string note);
  void log_lane(std::size_t lane, const submit_slots::verdict& v);
  void log_outcome(const task& t, const submit_outcome& o, const upstream& to, milliseconds pause);
  event::submit_started start_on(const submit_slots::lease& slot, const task& t) const;

  asio::io_context& loop_;
  store& store_;
  task_changes& changes_;
  upstreams& upstreams_;
  const identity who_;
  metrics& metrics_;
  spdlog::logger& log_;
  wake_timer wake_, expiry_;
  steady_timer remember_;
  submit_queues queues_;
  std::shared_ptr<submit_slots> slots_;  // lanes in the order of upstreams_
  std::vector<lane_memory> kept_;        // as they are on disk
  bool requeue_ = false;
  bool lanes_known_ = false;                 // recover() has read what the store knows of them
  std::unordered_set<std::string> sending_;  // ids of tasks
  bool stopped_ = false;
};

}  // namespace relay
