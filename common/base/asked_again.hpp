#pragma once

// What is asked for once, as in a walk over all jobs, must not drive out of a cache what is asked for often:
// a cache takes in what is asked for a second time. One thread.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/text_hash.hpp"

namespace relay {

class asked_again {
 public:
  /// Remembers about so many keys, in 8 bytes each.
  explicit asked_again(std::size_t keys) : groups_(std::max<std::size_t>(keys / size, 1)) {}

  /// True: the same was asked a short while ago. Of many keys some are forgotten early.
  bool operator()(std::string_view key, std::size_t kind = 0) {
    const std::size_t hash = text_hash{}(key) ^ (kind * 0x9e3779b97f4a7c15U);
    group& g = groups_[hash % groups_.size()];
    if (std::ranges::find(g, hash) != g.end()) return true;
    auto place = std::ranges::find(g, std::size_t{0});
    if (place == g.end()) {
      // Any one of them makes way, not the oldest: of more keys in turn than there is room for, some stay.
      turn_ = turn_ * 6364136223846793005U + 1442695040888963407U;
      place = g.begin() + static_cast<std::ptrdiff_t>(turn_ >> 62);
    }
    *place = hash;
    return false;
  }

 private:
  static constexpr std::size_t size = 4;
  using group = std::array<std::size_t, size>;  // hashes that belong here; 0: free

  std::vector<group> groups_;
  std::uint64_t turn_ = 0;
};

}  // namespace relay
