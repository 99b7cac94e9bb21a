#include "common/engine/submit_queues.hpp"

#include <algorithm>
#include <limits>

namespace relay {

bool submit_queues::queue::has_due(timestamp now, lane_set free) const {
  return std::ranges::any_of(waiting, [&](const auto& group) {
    return (group.first & free) != 0 && group.second.begin()->at <= now;
  });
}

void submit_queues::open(const submit_queue& q) {
  queues_[q].more = true;
}

void submit_queues::add(const submit_queue& name, place where, lane_set lanes) {
  queue& q = queues_[name];
  if (q.more && !q.reading && where > q.read) return;
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
    if (q.more && !q.reading && q.read.at <= now && (q.lanes & free) != 0 && q.size < most_read &&
        !q.has_due(now, free))
      return name;
  }
  return std::nullopt;
}

submit_queues::place submit_queues::read_to(const submit_queue& name) const {
  const auto q = queues_.find(name);
  return q == queues_.end() ? place{} : q->second.read;
}

void submit_queues::begin_reading(const submit_queue& name) {
  queue& q = queues_[name];
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
  // One round over the owners, from the one after the last that was served.
  const auto after_last =
      queues_.lower_bound({served_ == std::numeric_limits<std::int64_t>::max() ? 0 : served_ + 1, {}});
  auto at = after_last == queues_.end() ? queues_.begin() : after_last;
  for (std::size_t seen = 0; seen < queues_.size();) {
    const std::int64_t owner = at->first.owner;
    // The one of the owner's jobs that waits longest.
    auto best_queue = queues_.end();
    std::map<lane_set, std::set<place>>::iterator best;
    for (; at != queues_.end() && at->first.owner == owner; ++at, ++seen) {
      auto& groups = at->second.waiting;
      for (auto g = groups.begin(); g != groups.end(); ++g) {
        if ((g->first & free) == 0 || g->second.begin()->at > now) continue;
        if (best_queue != queues_.end() && *best->second.begin() <= *g->second.begin()) continue;
        best_queue = at;
        best = g;
      }
    }
    if (best_queue != queues_.end()) {
      waiting out{best_queue->first, *best->second.begin(), best->first};
      queue& q = best_queue->second;
      best->second.erase(best->second.begin());
      if (best->second.empty()) q.waiting.erase(best);
      --q.size;
      served_ = owner;
      forget_if_empty(best_queue);
      return out;
    }
    if (at == queues_.end()) at = queues_.begin();
  }
  return std::nullopt;
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

void submit_queues::forget_if_empty(std::map<submit_queue, queue>::iterator q) {
  if (q->second.size == 0 && !q->second.more && !q->second.reading) queues_.erase(q);
}

}  // namespace relay
