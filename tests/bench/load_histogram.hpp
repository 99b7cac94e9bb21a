#pragma once

// Latencies in fixed memory: 64 steps in each power of two, so a percentile is at most 1.6 % above the true
// value. One thread.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace relay::bench {

class histogram {
 public:
  void add(std::int64_t nanoseconds) {
    const auto v = static_cast<std::uint64_t>(std::max<std::int64_t>(nanoseconds, 0));
    ++counts_[std::min(index_of(v), counts_.size() - 1)];
    ++total_;
    max_ = std::max(max_, v);
  }

  std::uint64_t total() const { return total_; }
  std::uint64_t max() const { return max_; }

  /// The least value that `share` (0 to 1) of all values do not exceed; 0 if there are none.
  std::uint64_t percentile(double share) const {
    const auto rank = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > rank) return std::min(end_of(i), max_);
    }
    return max_;
  }

 private:
  static constexpr int bits = 6;
  static constexpr std::uint64_t steps = 1 << bits;
  static constexpr std::size_t powers = 36;  // up to 78 minutes

  static std::size_t index_of(std::uint64_t v) {
    if (v < steps) return v;
    const int shift = std::bit_width(v) - bits - 1;
    return static_cast<std::size_t>(shift) * steps + (v >> shift);
  }
  static std::uint64_t end_of(std::size_t index) {
    if (index < steps) return index;
    const auto shift = index / steps - 1;
    return ((index - shift * steps + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (powers + 1) * steps> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace relay::bench
