#pragma once

// Slots for submissions over all lanes, as leases that are given back by destruction; the count of the jobs
// that each has; and what the end of a submission means for its lane and for where its task goes next. Pure
// but for one notification. One thread. Leases keep it alive: a submission may end after its dispatcher.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/engine/submit_lane.hpp"
#include "common/engine/submit_queues.hpp"

namespace relay {

class submit_slots : public std::enable_shared_from_this<submit_slots> {
 public:
  /// `on_free`: called when a slot becomes free that a task may be waiting for.
  submit_slots(std::vector<submit_lane> lanes, std::function<void()> on_free)
      : lanes_(std::move(lanes)), on_free_(std::move(on_free)) {}
  submit_slots(const submit_slots&) = delete;
  submit_slots& operator=(const submit_slots&) = delete;
  /// From now on no one is notified.
  void detach() {
    on_free_ = [] {};
  }

  /// The right to submit one task to one upstream. Destroyed before sent(): as if it had never been acquired.
  class lease {
   public:
    lease(lease&& other) noexcept;
    lease& operator=(lease&& other) noexcept;
    ~lease();

    /// The submission goes out: it counts, and its job counts as open until close_job().
    void sent() { sent_ = true; }
    std::size_t lane() const { return lane_; }
    timestamp began() const { return began_; }
    const std::string& upstream() const { return slots_->lanes_[lane_].name; }

   private:
    friend class submit_slots;
    lease(std::shared_ptr<submit_slots> s, std::size_t lane, timestamp began, std::string task_id)
        : slots_(std::move(s)), lane_(lane), began_(began), task_id_(std::move(task_id)) {}

    std::shared_ptr<submit_slots> slots_;  // null: moved from
    std::size_t lane_;
    timestamp began_;
    std::string task_id_;
    bool sent_ = false;
  };

  /// The lane that would get the task now; nullopt when none can take it.
  std::optional<choice> choose_for(const task& t, timestamp now) const;
  /// A slot of that lane.
  std::optional<lease> acquire(const task& t, timestamp now);
  lease acquire(const task& t, timestamp now, const choice& c);

  /// What the end of a submission means.
  struct verdict {
    milliseconds pause{0};     // nothing more goes to the lane for so long
    bool keeps_place = false;  // the task: see event::unavailable
    bool opened = false;       // the lane's circuit, because of its key or its credits
    bool closed = false;       // the lane's circuit, after it was open
    bool learned = false;      // the lane's limits are other than they were
  };
  verdict finish(const lease& slot, const task& t, const submit_outcome& o, timestamp now, const policy& p);
  /// Tasks that a lane did not take for a reason of their own, and that it may be offered again now.
  std::vector<std::string> end_hold_offs(timestamp now);
  /// When that is next so; nullopt: no task is held off.
  std::optional<timestamp> next_hold_off_end() const;
  static constexpr std::chrono::minutes hold_off{1};

  /// The upstream has this job, or may have it. Twice is once.
  void open_job(const std::string& task_id, const std::string& upstream);
  /// It has it no longer.
  void close_job(const std::string& task_id);
  /// It waits for nothing any more.
  void forget(const std::string& task_id);

  /// Another lane, after the others, or new settings of one.
  void add(lane_settings s);
  /// `try_at_once`: what it refused before was refused to another key, or by another host.
  void change(std::size_t lane, lane_settings s, bool try_at_once);
  /// `open`: its circuit, if it is open, lets one submission try at once. One that the configuration has
  /// closed (poll_only) stays so.
  void set_mode(std::size_t lane, lane_mode m, timestamp now);

  submit_lane& operator[](std::size_t lane) { return lanes_[lane]; }
  const std::vector<submit_lane>& lanes() const { return lanes_; }
  /// The upstreams that tasks which are due wait for.
  void set_waiters(lane_set wanted);
  /// True when an upstream that some task waits for can take it now.
  bool any_free_for_waiters(timestamp now) const;
  /// The upstreams that can take a task now.
  lane_set free(timestamp now) const;
  /// The lanes that could take this one at some time, and have not just refused it for a reason of its own;
  /// all that could, when each of them has.
  lane_set serving(const task& t) const;
  /// True when some lane could take the task at some time.
  bool any_serves(const task& t) const;
  /// True when none does, and one would that is being drained.
  bool only_drained(const task& t) const;
  /// Why none could, for a client; empty: there is no reason but that none is configured for it.
  std::string why_none_serves(const task& t) const;
  /// True when each of those has refused this task, or the last ones, for the relay's account.
  bool accounts_refused(const task& t) const;

 private:
  void count_open(const std::string& task_id, std::size_t lane);
  void end_hold_off(const std::string& task_id);
  bool hold_task_off(std::size_t lane, const task& t, timestamp now);
  lane_set all_serving(const task& t) const;

  std::vector<submit_lane> lanes_;
  std::function<void()> on_free_;
  std::unordered_map<std::string, std::size_t> open_jobs_;  // task id, and the lane that it counts in
  std::unordered_map<std::string, lane_set> held_off_;      // by task id: the lanes that refused it of late
  std::unordered_map<std::string, lane_set> refused_;       // the same, for the relay's account
  std::multimap<timestamp, std::string> hold_off_ends_;     // of all lanes of a task at once
};

}  // namespace relay
