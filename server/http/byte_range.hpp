#pragma once

// A part of a response's body that a client asks for: RFC 9110 §14. One range of bytes; what asks for more,
// or is no range, is answered whole, as §14.2 allows. Pure.

#include <cstdint>
#include <string_view>

namespace relay::http {

struct byte_range {
  enum class kind : std::uint8_t { whole, part, unsatisfiable } what = kind::whole;
  std::uint64_t first = 0;
  std::uint64_t bytes = 0;  // from there

  friend bool operator==(const byte_range&, const byte_range&) = default;
};

/// `header`: the value of Range; empty: none. `size`: of the whole.
byte_range parse_range(std::string_view header, std::uint64_t size);

}  // namespace relay::http
