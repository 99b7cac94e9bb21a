#pragma once

// A chunked body, RFC 9112 §7.1, strictly: lines end in CR LF, sizes are hexadecimal digits, what stands
// around the data is limited. Chunk extensions and trailer fields are checked and thrown away. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace relay::http {

struct chunk_limits {
  std::uint64_t body_bytes = 1024 * 1024;
  std::size_t overhead_bytes = 16 * 1024;  // extensions and trailer fields, in all
};

class chunk_decoder {
 public:
  explicit chunk_decoder(chunk_limits l = {}) : limits_(l) {}

  /// Takes bytes from the front, appends the data in them to `body`; how many were taken: all of them, unless
  /// the body ends before. Errors, for good: invalid_request, body_too_large.
  result<std::size_t> feed(std::string_view bytes, std::string& body);
  /// The body has ended; what follows is the next request.
  bool done() const { return state_ == state::done; }

 private:
  enum class state : std::uint8_t {
    size,        // digits
    extension,   // after them, to the end of the line
    size_lf,     // LF after the CR of that line
    data,        //
    data_cr,     // CR and LF after the data
    data_lf,     //
    trailer,     // a line after the last chunk
    trailer_lf,  //
    done,
  };
  result<void> take(char c);
  result<void> begin_chunk();
  result<void> end_trailer_line();
  result<void> count_overhead();

  const chunk_limits limits_;
  state state_ = state::size;
  std::uint64_t size_ = 0;  // of the chunk; then what is left of it
  int digits_ = 0;
  std::uint64_t taken_ = 0;  // data in all
  std::size_t overhead_ = 0;
  std::string line_;  // of the trailer
};

}  // namespace relay::http
