#include "common/engine/learned_limit.hpp"

#include <algorithm>

namespace relay {
namespace {

constexpr std::int64_t least_probe = 4;
constexpr int pauses_between_probes = 20;  // a probe that is refused costs its pause

}  // namespace

void learned_limit::accepted(std::int64_t used) {
  refused_in_row_ = 0;
  good_ = std::max(good_, used);
  if (limit_ == 0) return;
  if (used > limit_) {  // it allows more than was known: the next probe comes sooner
    limit_ = used;
    accepted_at_limit_ = 0;
    probe_after_ = std::max(least_probe, probe_after_ / 2);
  } else if (limit_ < good_) {  // back to what was good before, one by one
    ++limit_;
  } else {
    ++accepted_at_limit_;
  }
}

void learned_limit::refused(std::int64_t used, timestamp began, timestamp now, milliseconds pause) {
  // Those that were on their way together are one refusal; some of them may still have been accepted.
  const bool same_once_more = is_set(refused_at_) && began <= refused_at_;
  if (same_once_more) {
    limit_ = std::max(limit_, used);
    return;
  }
  refused_at_ = now;
  ++refused_in_row_;
  const std::int64_t before = limit_;
  good_ = used >= good_ ? used : (good_ + used) / 2;
  limit_ = std::max<std::int64_t>(1, used);
  // Refused again, although nothing was accepted in between: faster down.
  if (refused_in_row_ > 1 && before > 0) limit_ = std::max<std::int64_t>(1, std::min(limit_, before * 3 / 4));
  const bool as_known = used >= before && before > 0;
  probe_after_ = as_known ? std::min(last_probe, probe_after_ * 2) : first_probe;
  probe_at_ = now + pauses_between_probes * pause;
  accepted_at_limit_ = 0;
}

}  // namespace relay
