#include "common/engine/submit_slots.hpp"

#include <algorithm>
#include <utility>

namespace relay {

submit_slots::lease::lease(lease&& other) noexcept
    : slots_(std::move(other.slots_)),
      lane_(other.lane_),
      task_id_(std::move(other.task_id_)),
      sent_(other.sent_) {}

submit_slots::lease& submit_slots::lease::operator=(lease&& other) noexcept {
  // What this one held is given back with the other.
  std::swap(slots_, other.slots_);
  std::swap(lane_, other.lane_);
  std::swap(task_id_, other.task_id_);
  std::swap(sent_, other.sent_);
  return *this;
}

submit_slots::lease::~lease() {
  if (!slots_) return;
  submit_lane& l = slots_->lanes_[lane_];
  if (sent_) {
    --l.in_flight;
  } else {
    l.take_back();
    slots_->close_job(task_id_);
  }
  if (std::ranges::any_of(slots_->lanes_, &submit_lane::has_waiters)) slots_->on_free_();
}

std::optional<submit_slots::lease> submit_slots::acquire(const task& t, timestamp now) {
  const auto i = choose(lanes_, t, now);
  if (!i) return std::nullopt;
  lanes_[*i].begin(now);
  count_open(t.id, *i);
  return lease(shared_from_this(), *i, t.id);
}

void submit_slots::count_open(const std::string& task_id, std::size_t lane) {
  if (open_jobs_.emplace(task_id, lane).second) ++lanes_[lane].open;
}

void submit_slots::open_job(const std::string& task_id, const std::string& upstream) {
  const auto at = std::ranges::find(lanes_, upstream, &submit_lane::name);
  if (at != lanes_.end()) count_open(task_id, static_cast<std::size_t>(at - lanes_.begin()));
}

void submit_slots::close_job(const std::string& task_id) {
  const auto found = open_jobs_.find(task_id);
  if (found == open_jobs_.end()) return;
  submit_lane& l = lanes_[found->second];
  --l.open;
  open_jobs_.erase(found);
  if (l.has_waiters) on_free_();
}

void submit_slots::set_waiters(lane_set wanted) {
  for (std::size_t i = 0; i < lanes_.size(); ++i) lanes_[i].has_waiters = (wanted >> i & 1) != 0;
}

bool submit_slots::any_free_for_waiters(timestamp now) const {
  return std::ranges::any_of(lanes_,
                             [now](const submit_lane& l) { return l.has_waiters && l.can_take(now); });
}

lane_set submit_slots::free(timestamp now) const {
  lane_set out = 0;
  for (std::size_t i = 0; i < lanes_.size(); ++i) out |= lane_set{lanes_[i].can_take(now)} << i;
  return out;
}

lane_set submit_slots::serving(const task& t) const {
  lane_set out = 0;
  for (std::size_t i = 0; i < lanes_.size(); ++i) out |= lane_set{serves(lanes_[i], t)} << i;
  return out;
}

bool submit_slots::any_serves(const task& t) const {
  return std::ranges::any_of(lanes_, [&t](const submit_lane& l) { return serves(l, t); });
}

bool submit_slots::accounts_refused(const task& t) const {
  return any_serves(t) && std::ranges::all_of(lanes_, [&t](const submit_lane& l) {
           return l.refuses_account() || !serves(l, t);
         });
}

}  // namespace relay
