#include "server/upstream/failover.hpp"

namespace relay {

bool serves(const lane& l, const task& t) {
  return (!t.pinned || t.upstream == l.name) && can_serve(l.speaks, t);
}

std::optional<std::size_t> choose(std::span<const lane> lanes, const task& t, timestamp now) {
  std::optional<std::size_t> again;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (!lanes[i].can_take(now) || !serves(lanes[i], t)) continue;
    if (t.pinned || t.upstream != lanes[i].name) return i;
    again = i;  // it could not take the task the last time
  }
  return again;
}

timestamp next_opening(std::span<const lane> lanes, timestamp now) {
  timestamp earliest = never;
  for (const lane& l : lanes) {
    if (l.not_before > now && (!is_set(earliest) || l.not_before < earliest)) earliest = l.not_before;
  }
  return earliest;
}

}  // namespace relay
