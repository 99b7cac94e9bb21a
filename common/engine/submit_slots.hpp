#pragma once

// Slots for submissions over all upstreams, as leases that are given back by destruction; and the count of
// the jobs that each upstream has. Pure but for one notification. One thread. Leases keep it alive: a
// submission may end after its dispatcher.

#include <functional>
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
    /// Index of the upstream, in the order of the configuration.
    std::size_t lane() const { return lane_; }
    const std::string& upstream() const { return slots_->lanes_[lane_].name; }

   private:
    friend class submit_slots;
    lease(std::shared_ptr<submit_slots> s, std::size_t lane, std::string task_id)
        : slots_(std::move(s)), lane_(lane), task_id_(std::move(task_id)) {}

    std::shared_ptr<submit_slots> slots_;  // null: moved from
    std::size_t lane_;
    std::string task_id_;
    bool sent_ = false;
  };

  /// A slot of the upstream that `choose` names; nullopt when none can take the task now.
  std::optional<lease> acquire(const task& t, timestamp now);

  /// The upstream has this job, or may have it. Twice is once.
  void open_job(const std::string& task_id, const std::string& upstream);
  /// It has it no longer.
  void close_job(const std::string& task_id);

  submit_lane& operator[](std::size_t lane) { return lanes_[lane]; }
  const std::vector<submit_lane>& lanes() const { return lanes_; }
  /// The upstreams that tasks which are due wait for.
  void set_waiters(lane_set wanted);
  /// True when an upstream that some task waits for can take it now.
  bool any_free_for_waiters(timestamp now) const;
  /// The upstreams that can take a task now.
  lane_set free(timestamp now) const;
  /// The upstreams that could take this one at some time.
  lane_set serving(const task& t) const;
  /// True when an upstream of the configuration could take the task at some time.
  bool any_serves(const task& t) const;
  /// True when each of those has refused the relay's key the last time.
  bool accounts_refused(const task& t) const;

 private:
  void count_open(const std::string& task_id, std::size_t lane);

  std::vector<submit_lane> lanes_;
  std::function<void()> on_free_;
  std::unordered_map<std::string, std::size_t> open_jobs_;  // task id, and the lane that it counts in
};

}  // namespace relay
