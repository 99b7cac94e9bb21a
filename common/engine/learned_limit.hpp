#pragma once

// A limit of an upstream that nobody has told the relay: of jobs at once, or of submissions in a minute. It
// is learned from what the upstream refuses with 429. At the limit the next submission waits; once in a while
// one more than the limit is tried. Pure. One thread.

#include <cstdint>

#include "common/base/time.hpp"

namespace relay {

class learned_limit {
 public:
  /// `known`: as it was learned before; 0: nothing is known.
  explicit learned_limit(std::int64_t known = 0) : limit_(known), good_(known) {}

  /// 0: nothing is known, everything is allowed.
  std::int64_t value() const { return limit_; }
  /// The most that was accepted of late.
  std::int64_t good() const { return good_; }

  /// True: one more may begin, beside `used`.
  bool allows(std::int64_t used, timestamp now) const {
    return limit_ == 0 || used < limit_ || (used == limit_ && may_probe(now));
  }
  /// One more begins beside `used`.
  void begin(std::int64_t used) {
    if (limit_ > 0 && used >= limit_) accepted_at_limit_ = 0;  // this one is the probe
  }
  /// It was accepted; `used` counts it.
  void accepted(std::int64_t used);
  /// It was refused beside `used` that had been accepted. `began`: when it was sent; those that were sent
  /// before the last refusal came say the same thing once more. `pause`: for how long the upstream asked.
  void refused(std::int64_t used, timestamp began, timestamp now, milliseconds pause);
  /// Refusals in a row, each sent after the one before it had come.
  int refused_in_row() const { return refused_in_row_; }

  static constexpr std::int64_t first_probe = 32;  // accepted submissions between two probes,
  static constexpr std::int64_t last_probe = 256;  // when each probe is refused

 private:
  bool may_probe(timestamp now) const {
    return (accepted_at_limit_ >= probe_after_ && now >= probe_at_) || now >= refused_at_ + longest_trust;
  }
  static constexpr std::chrono::minutes longest_trust{10};

  std::int64_t limit_;
  std::int64_t good_;
  std::int64_t accepted_at_limit_ = 0;
  std::int64_t probe_after_ = first_probe;
  timestamp probe_at_;  // no probe before
  timestamp refused_at_;
  int refused_in_row_ = 0;
};

}  // namespace relay
