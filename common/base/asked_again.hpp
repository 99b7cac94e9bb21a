#pragma once

// What is asked for once, as in a walk over all jobs, must not drive out of a cache what is asked for often:
// a cache takes in what is asked for a second time. One thread.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace relay {

class asked_again {
 public:
  /// Remembers about so many keys, in 8 bytes each.
  explicit asked_again(std::size_t keys) : lately_(keys) {}

  /// True: the same was asked a short while ago. Of many keys some are forgotten early.
  bool operator()(std::string_view key, std::size_t kind = 0) {
    const std::size_t hash = std::hash<std::string_view>{}(key) ^ (kind * 0x9e3779b97f4a7c15U);
    std::size_t& place = lately_[hash % lately_.size()];
    const bool again = place == hash;
    place = hash;
    return again;
  }

 private:
  std::vector<std::size_t> lately_;  // each hash at a place of its own; the last one stays
};

}  // namespace relay
