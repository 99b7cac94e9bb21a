#include "server/upstream/failover.hpp"

namespace relay {

std::optional<std::size_t> choose(std::span<const lane> lanes, const task& t, timestamp now) {
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if (t.pinned && t.upstream != lanes[i].name) continue;
    if (lanes[i].can_take(now) && can_serve(lanes[i].speaks, t)) return i;
  }
  return std::nullopt;
}

timestamp next_opening(std::span<const lane> lanes, timestamp now) {
  timestamp earliest = never;
  for (const lane& l : lanes) {
    if (l.not_before > now && (!is_set(earliest) || l.not_before < earliest)) earliest = l.not_before;
  }
  return earliest;
}

}  // namespace relay
