#pragma once

// How many event streams each token may have open. Loop thread.

#include <cstdint>
#include <memory>
#include <unordered_map>

namespace relay {

class stream_limit {
 public:
  /// A place, given back when the last copy is destroyed; null when the token has `max` already.
  std::shared_ptr<int> enter(std::int64_t owner, int max) {
    const auto counts = counts_;
    int& n = (*counts)[owner];
    if (n >= max) return nullptr;
    ++n;
    return {new int(n), [counts, owner](int* p) {
              delete p;
              if (--(*counts)[owner] == 0) counts->erase(owner);
            }};
  }

 private:
  std::shared_ptr<std::unordered_map<std::int64_t, int>> counts_ =
      std::make_shared<std::unordered_map<std::int64_t, int>>();
};

}  // namespace relay
