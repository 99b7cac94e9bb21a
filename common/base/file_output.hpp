#pragma once

// Where the files go that stand in a request's body.

#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace relay {

class file_output {
 public:
  virtual ~file_output() = default;
  /// A file begins.
  virtual result<void> begin() = 0;
  virtual result<void> write(std::string_view bytes) = 0;
  /// It is whole: a text that stands for it. The same bytes have the same text.
  virtual result<std::string> end() = 0;
};

}  // namespace relay
