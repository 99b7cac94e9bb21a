#include "common/engine/turn_schedule.hpp"

#include <iterator>

namespace relay {
namespace {

std::optional<timestamp> head_of(const std::set<std::pair<timestamp, std::string>>& jobs) {
  if (jobs.empty()) return std::nullopt;
  return jobs.begin()->first;
}

}  // namespace

void turn_schedule::set(const std::string& task_id, std::int64_t owner, timestamp at) {
  erase(task_id);
  customer& c = customers_[owner];
  const auto before = head_of(c.jobs);
  c.jobs.emplace(at, task_id);
  jobs_.emplace(task_id, job{owner, at});
  stand_in_line(owner, c, before);
}

void turn_schedule::erase(const std::string& task_id) {
  const auto found = jobs_.find(task_id);
  if (found == jobs_.end()) return;
  const auto [owner, at] = found->second;
  jobs_.erase(found);
  customer& c = customers_.at(owner);
  const auto before = head_of(c.jobs);
  c.jobs.erase({at, task_id});
  stand_in_line(owner, c, before);
}

// Those that stand in turns_ are looked at when their turn comes.
void turn_schedule::stand_in_line(std::int64_t owner, customer& c,
                                  const std::optional<timestamp>& head_before) {
  if (c.in_turn) return;
  const auto head = head_of(c.jobs);
  if (head_before != head) {
    if (head_before) heads_.erase({*head_before, owner});
    if (head) heads_.emplace(*head, owner);
  }
  if (c.jobs.empty()) customers_.erase(owner);
}

void turn_schedule::take_turns(timestamp now) {
  while (!heads_.empty() && heads_.begin()->first <= now) {
    const std::int64_t owner = heads_.begin()->second;
    heads_.erase(heads_.begin());
    customers_.at(owner).in_turn = true;
    turns_.push_back(owner);
  }
  // One whose jobs went meanwhile gives its turn up.
  while (!turns_.empty()) {
    const std::int64_t owner = turns_.front();
    customer& c = customers_.at(owner);
    if (!c.jobs.empty() && c.jobs.begin()->first <= now) return;
    turns_.pop_front();
    c.in_turn = false;
    stand_in_line(owner, c, std::nullopt);
  }
}

bool turn_schedule::any_due(timestamp now) {
  take_turns(now);
  return !turns_.empty();
}

std::optional<turn_schedule::entry> turn_schedule::pop(timestamp now) {
  take_turns(now);
  if (turns_.empty()) return std::nullopt;
  const std::int64_t owner = turns_.front();
  turns_.pop_front();
  customer& c = customers_.at(owner);
  entry out{c.jobs.begin()->second, owner};
  c.jobs.erase(c.jobs.begin());
  jobs_.erase(out.task_id);
  // Its next one waits for the turns of the others.
  if (!c.jobs.empty() && c.jobs.begin()->first <= now) {
    turns_.push_back(owner);
  } else {
    c.in_turn = false;
    stand_in_line(owner, c, std::nullopt);
  }
  return out;
}

timestamp turn_schedule::next() const {
  timestamp out = never;
  const auto consider = [&out](timestamp at) {
    if (!is_set(out) || at < out) out = at;
  };
  if (!heads_.empty()) consider(heads_.begin()->first);
  for (const std::int64_t owner : turns_) {
    const customer& c = customers_.at(owner);
    if (!c.jobs.empty()) consider(c.jobs.begin()->first);
  }
  return out;
}

std::int64_t turn_schedule::count_before(timestamp before) const {
  std::int64_t out = 0;
  for (const auto& [owner, c] : customers_) {
    for (auto at = c.jobs.begin(); at != c.jobs.end() && at->first < before; ++at) ++out;
  }
  return out;
}

}  // namespace relay
