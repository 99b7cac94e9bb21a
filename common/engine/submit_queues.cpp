#include "common/engine/submit_queues.hpp"

#include <algorithm>

namespace relay {

bool submit_queues::queue::has_due(timestamp now, lane_set free) const {
  return std::ranges::any_of(waiting, [&](const auto& group) {
    return (group.first & free) != 0 && group.second.begin()->at <= now;
  });
}

void submit_queues::start_over() {
  queues_.clear();
  order_.clear();
}

void submit_queues::open(const submit_queue& q) {
  queue& known = queue_named(q);
  known.more = true;
  known.lanes = ~lane_set{0};  // any may be meant
}

void submit_queues::add(const submit_queue& name, place where, lane_set lanes) {
  queue& q = queue_named(name);
  if (q.more && !q.reading && where > q.read) {
    q.lanes |= lanes;
    return;
  }
  q.lanes = q.size == 0 && !q.more ? lanes : q.lanes | lanes;
  q.size += q.waiting[lanes].insert(std::move(where)).second;
  // More than is kept: the last of them are on disk, and are read again when it is their turn.
  if (q.size <= most_read || q.reading) return;
  auto last = std::ranges::max_element(q.waiting, {}, [](const auto& g) { return *g.second.rbegin(); });
  last->second.erase(std::prev(last->second.end()));
  if (last->second.empty()) q.waiting.erase(last);
  --q.size;
  const auto end = std::ranges::max_element(q.waiting, {}, [](const auto& g) { return *g.second.rbegin(); });
  q.read = *end->second.rbegin();
  q.more = true;
}

std::optional<submit_queue> submit_queues::to_read(timestamp now, lane_set free) const {
  for (const auto& [name, q] : queues_) {
    // What was not read may be for any lane.
    if (q.more && !q.reading && q.read.at <= now && free != 0 && q.size < most_read && !q.has_due(now, free))
      return name;
  }
  return std::nullopt;
}

submit_queues::place submit_queues::read_to(const submit_queue& name) const {
  const auto q = queues_.find(name);
  return q == queues_.end() ? place{} : q->second.read;
}

void submit_queues::begin_reading(const submit_queue& name) {
  queue& q = queue_named(name);
  q.reading = true;
  // Of a queue of which nothing is known any lane may be meant; from here on, what its jobs say.
  if (!is_set(q.read.at)) q.lanes = 0;
}

void submit_queues::end_reading(const submit_queue& name, const place& last, bool more) {
  const auto q = queues_.find(name);
  if (q == queues_.end()) return;
  q->second.reading = false;
  q->second.read = std::max(q->second.read, last);
  q->second.more = more;
  forget_if_empty(q);
}

std::optional<submit_queues::waiting> submit_queues::next(timestamp now, lane_set free) {
  for (const turn& last : order_) {
    // The one of the owner's jobs that waits longest.
    auto best_queue = queues_.end();
    std::map<lane_set, std::set<place>>::iterator best;
    for (auto at = queues_.lower_bound({last.owner, {}});
         at != queues_.end() && at->first.owner == last.owner; ++at) {
      auto& groups = at->second.waiting;
      for (auto g = groups.begin(); g != groups.end(); ++g) {
        if ((g->first & free) == 0 || g->second.begin()->at > now) continue;
        if (best_queue != queues_.end() && *best->second.begin() <= *g->second.begin()) continue;
        best_queue = at;
        best = g;
      }
    }
    if (best_queue == queues_.end()) continue;
    waiting out{best_queue->first, *best->second.begin(), best->first};
    queue& q = best_queue->second;
    best->second.erase(best->second.begin());
    if (best->second.empty()) q.waiting.erase(best);
    --q.size;
    forget_if_empty(best_queue);
    return out;
  }
  return std::nullopt;
}

void submit_queues::end_turn(const waiting& w) {
  const std::int64_t owner = w.queue.owner;
  turns& had = turns_[owner];
  if (++had.jobs < weight_of_(owner)) return;
  order_.erase(last_turn_of(owner));
  had = {++turns_so_far_, 0};
  if (has_queues(owner)) order_.insert(last_turn_of(owner));
}

lane_set submit_queues::wanted(timestamp now) const {
  lane_set out = 0;
  for (const auto& [name, q] : queues_) {
    if (q.more && q.read.at <= now) out |= q.lanes;
    for (const auto& [lanes, places] : q.waiting) {
      if (places.begin()->at <= now) out |= lanes;
    }
  }
  return out;
}

std::optional<timestamp> submit_queues::next_due(timestamp now) const {
  std::optional<timestamp> out;
  const auto consider = [&](timestamp at) {
    if (at > now && (!out || at < *out)) out = at;
  };
  for (const auto& [name, q] : queues_) {
    if (q.more) consider(q.read.at);
    for (const auto& [lanes, places] : q.waiting) {
      // Those that are due wait for a lane, not for time.
      const auto later = places.upper_bound({now, std::string(1, '\x7f')});
      if (later != places.end()) consider(later->at);
    }
  }
  return out;
}

submit_queues::queue& submit_queues::queue_named(const submit_queue& name) {
  order_.insert(last_turn_of(name.owner));
  return queues_[name];
}

void submit_queues::forget_if_empty(std::map<submit_queue, queue>::iterator q) {
  if (q->second.size != 0 || q->second.more || q->second.reading) return;
  const std::int64_t owner = q->first.owner;
  queues_.erase(q);
  if (!has_queues(owner)) order_.erase(last_turn_of(owner));
}

submit_queues::turn submit_queues::last_turn_of(std::int64_t owner) const {
  const auto found = turns_.find(owner);
  return {found == turns_.end() ? 0 : found->second.last, owner};
}

bool submit_queues::has_queues(std::int64_t owner) const {
  const auto first = queues_.lower_bound({owner, {}});
  return first != queues_.end() && first->first.owner == owner;
}

}  // namespace relay
