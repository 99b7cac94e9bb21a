#pragma once

// How many event streams each token has open. Loop thread.

#include <cstdint>
#include <memory>
#include <unordered_map>

namespace relay {

class stream_count {
 public:
  /// A place, given back when the last copy goes; null when the token has `most` already.
  std::shared_ptr<int> enter(std::int64_t owner, int most) {
    const auto counts = counts_;
    int& n = (*counts)[owner];
    if (n >= most) return nullptr;
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
