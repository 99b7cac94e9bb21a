#include "common/engine/submit_slots.hpp"

#include <algorithm>
#include <utility>

namespace relay {

submit_slots::lease::lease(lease&& other) noexcept
    : slots_(std::move(other.slots_)),
      lane_(other.lane_),
      began_(other.began_),
      task_id_(std::move(other.task_id_)),
      sent_(other.sent_) {}

submit_slots::lease& submit_slots::lease::operator=(lease&& other) noexcept {
  // What this one held is given back with the other.
  std::swap(slots_, other.slots_);
  std::swap(lane_, other.lane_);
  std::swap(began_, other.began_);
  std::swap(task_id_, other.task_id_);
  std::swap(sent_, other.sent_);
  return *this;
}

submit_slots::lease::~lease() {
  if (!slots_) return;
  submit_lane& l = slots_->lanes_[lane_];
  if (sent_) {
    l.end(began_);
  } else {
    l.take_back(began_);
    slots_->close_job(task_id_);
  }
  if (std::ranges::any_of(slots_->lanes_, &submit_lane::has_waiters)) slots_->on_free_();
}

std::optional<choice> submit_slots::choose_for(const task& t, timestamp now) const {
  const auto held = held_off_.find(t.id);
  const lane_set from = held == held_off_.end() ? ~lane_set{0} : serving(t);
  return choose(lanes_, t, now, from);
}

std::optional<submit_slots::lease> submit_slots::acquire(const task& t, timestamp now) {
  const auto c = choose_for(t, now);
  if (!c) return std::nullopt;
  return acquire(t, now, *c);
}

submit_slots::lease submit_slots::acquire(const task& t, timestamp now, const choice& c) {
  take_turn(lanes_, c);
  lanes_[c.lane].begin(now);
  count_open(t.id, c.lane);
  return lease(shared_from_this(), c.lane, now, t.id);
}

submit_slots::verdict submit_slots::finish(const lease& slot, const task& t, const submit_outcome& o,
                                           timestamp now, const policy& p) {
  submit_lane& l = lanes_[slot.lane()];
  const bool was_closed = l.failures == 0;
  const std::int64_t at_once = l.at_once.value();
  const std::int64_t in_minute = l.in_minute.value();
  verdict out;
  out.pause = l.ended(o, t.id, slot.began(), now, p);
  const bool of_account = o.why == cause::key_refused || o.why == cause::no_credits;
  out.opened = of_account && was_closed && l.failures > 0;
  out.closed = !was_closed && l.failures == 0;
  out.learned = l.at_once.value() != at_once || l.in_minute.value() != in_minute;
  if (o.what != submit_outcome::kind::unavailable) return out;
  const lane_set this_lane = lane_set{1} << slot.lane();
  if (of_account || o.why == cause::not_allowed) refused_[t.id] |= this_lane;
  const bool of_task = o.why == cause::not_allowed || o.why == cause::wrong_address ||
                       (o.why == cause::no_credits && l.failures == 0);
  out.keeps_place = !of_task || hold_task_off(slot.lane(), t, now);
  return out;
}

// True: another lane could take it. False: all have refused it, and it waits by itself.
bool submit_slots::hold_task_off(std::size_t lane, const task& t, timestamp now) {
  lane_set& held = held_off_[t.id];
  if (held == 0) hold_off_ends_.emplace(now + hold_off, t.id);
  held |= lane_set{1} << lane;
  if ((all_serving(t) & ~held) != 0) return true;
  end_hold_off(t.id);
  return false;
}

std::vector<std::string> submit_slots::end_hold_offs(timestamp now) {
  std::vector<std::string> out;
  while (!hold_off_ends_.empty() && hold_off_ends_.begin()->first <= now) {
    out.push_back(std::move(hold_off_ends_.begin()->second));
    hold_off_ends_.erase(hold_off_ends_.begin());
    held_off_.erase(out.back());
  }
  return out;
}

std::optional<timestamp> submit_slots::next_hold_off_end() const {
  if (hold_off_ends_.empty()) return std::nullopt;
  return hold_off_ends_.begin()->first;
}

void submit_slots::forget(const std::string& task_id) {
  refused_.erase(task_id);
  end_hold_off(task_id);
}

void submit_slots::end_hold_off(const std::string& task_id) {
  if (held_off_.erase(task_id) == 0) return;
  std::erase_if(hold_off_ends_, [&](const auto& end) { return end.second == task_id; });
}

void submit_slots::add(lane_settings s) {
  lanes_.emplace_back(std::move(s));
  if (lanes_.back().poll_only) lanes_.back().mode = lane_mode::closed;
}

void submit_slots::change(std::size_t lane, lane_settings s, bool try_at_once) {
  submit_lane& l = lanes_[lane];
  static_cast<lane_settings&>(l) = std::move(s);
  if (l.poll_only)
    l.mode = lane_mode::closed;
  else if (l.mode == lane_mode::closed)
    l.mode = lane_mode::open;
  if (try_at_once) l.cool_down_until = never;
  on_free_();
}

void submit_slots::set_mode(std::size_t lane, lane_mode m, timestamp now) {
  submit_lane& l = lanes_[lane];
  l.mode = l.poll_only ? lane_mode::closed : m;
  l.mode_since = now;
  if (l.mode == lane_mode::open) l.cool_down_until = never;
  on_free_();
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

lane_set submit_slots::all_serving(const task& t) const {
  serving_lanes serving(t);
  lane_set out = 0;
  for (std::size_t i = 0; i < lanes_.size(); ++i) out |= lane_set{serving.contains(lanes_[i])} << i;
  return out;
}

lane_set submit_slots::serving(const task& t) const {
  const lane_set all = all_serving(t);
  const auto held = held_off_.find(t.id);
  if (held == held_off_.end() || (all & ~held->second) == 0) return all;
  return all & ~held->second;
}

bool submit_slots::any_serves(const task& t) const {
  serving_lanes serving(t);
  return std::ranges::any_of(lanes_, [&](const submit_lane& l) { return serving.contains(l); });
}

bool submit_slots::only_drained(const task& t) const {
  const auto would = [&t](submit_lane l) {
    if (l.mode != lane_mode::draining) return false;
    l.mode = lane_mode::open;
    return serves(l, t);
  };
  return !any_serves(t) && std::ranges::any_of(lanes_, would);
}

std::string submit_slots::why_none_serves(const task& t) const {
  std::string out;
  for (const submit_lane& l : lanes_) {
    const std::string reason = why_not(l, t);
    if (reason.empty() || out.contains(reason)) continue;
    out += (out.empty() ? "" : "; ") + reason;
  }
  return out;
}

bool submit_slots::accounts_refused(const task& t) const {
  const auto found = refused_.find(t.id);
  const lane_set refused = found == refused_.end() ? 0 : found->second;
  lane_set refuses = 0;
  for (std::size_t i = 0; i < lanes_.size(); ++i) refuses |= lane_set{lanes_[i].refuses_account()} << i;
  const lane_set all = all_serving(t);
  return all != 0 && (all & ~(refused | refuses)) == 0;
}

}  // namespace relay
