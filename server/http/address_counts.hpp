#pragma once

// Connections, or requests under way, by address. Loop thread.

#include <cstddef>
#include <string>
#include <unordered_map>

namespace relay::http {

class address_counts {
 public:
  explicit address_counts(std::size_t most) : most_(most) {}

  /// False: it has as many as it may.
  bool enter(const std::string& address) {
    std::size_t& n = counts_[address];
    if (n < most_) {
      ++n;
      return true;
    }
    if (n == 0) counts_.erase(address);
    return false;
  }
  void leave(const std::string& address) {
    const auto found = counts_.find(address);
    if (found != counts_.end() && --found->second == 0) counts_.erase(found);
  }

 private:
  const std::size_t most_;
  std::unordered_map<std::string, std::size_t> counts_;
};

}  // namespace relay::http
