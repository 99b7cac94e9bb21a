#pragma once

// A string that must not be printed: upstream keys. It formats as "[secret]"; `reveal()` is the only way in,
// so that a search for it finds every place where a key is used.

#include <ostream>
#include <string>
#include <utility>

namespace relay {

class secret {
 public:
  secret() = default;
  explicit secret(std::string value) : value_(std::move(value)) {}

  const std::string& reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

  friend bool operator==(const secret&, const secret&) = default;
  friend std::ostream& operator<<(std::ostream& out, const secret&) { return out << "[secret]"; }

 private:
  std::string value_;
};

}  // namespace relay
