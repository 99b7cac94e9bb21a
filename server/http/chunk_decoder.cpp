#include "server/http/chunk_decoder.hpp"

#include <algorithm>

#include "common/base/ascii.hpp"

namespace relay::http {
namespace {

constexpr int max_digits = 15;

std::unexpected<error> bad(std::string_view why) {
  return fail(errc::invalid_request, "body: " + std::string(why));
}

int value_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
}

}  // namespace

result<std::size_t> chunk_decoder::feed(std::string_view bytes, std::string& body) {
  std::size_t used = 0;
  while (used < bytes.size() && state_ != state::done) {
    if (state_ == state::data) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(size_, bytes.size() - used));
      body.append(bytes.substr(used, n));
      used += n;
      size_ -= n;
      if (size_ == 0) state_ = state::data_cr;
      continue;
    }
    if (auto taken = take(bytes[used]); !taken) return std::unexpected(std::move(taken.error()));
    ++used;
  }
  return used;
}

result<void> chunk_decoder::take(char c) {
  switch (state_) {
    case state::size:
      if (const int v = value_of(c); v >= 0) {
        if (++digits_ > max_digits) return bad("the size of a chunk has too many digits");
        size_ = size_ * 16 + static_cast<std::uint64_t>(v);
        return {};
      }
      if (c == '\n') return bad("the line of a chunk's size must end in CR LF");
      if (digits_ == 0) return bad("the size of a chunk must be hexadecimal digits");
      if (c != ';' && c != ' ' && c != '\t' && c != '\r')
        return bad("the size of a chunk must be hexadecimal digits");
      state_ = state::extension;
      return take(c);
    case state::extension:
      if (c == '\r') {
        state_ = state::size_lf;
        return {};
      }
      if (is_control(c)) return bad("a control character in a chunk's extension");
      return count_overhead();
    case state::size_lf:
      if (c != '\n') return bad("a chunk's size must end in CR LF");
      return begin_chunk();
    case state::data_cr:
      if (c != '\r') return bad("a chunk is longer than its size says");
      state_ = state::data_lf;
      return {};
    case state::data_lf:
      if (c != '\n') return bad("a chunk must end in CR LF");
      state_ = state::size;
      size_ = 0;
      digits_ = 0;
      return {};
    case state::trailer:
      if (c == '\r') {
        state_ = state::trailer_lf;
        return {};
      }
      if (is_control(c)) return bad("a control character in the trailer; lines must end in CR LF");
      line_ += c;
      return count_overhead();
    case state::trailer_lf:
      if (c != '\n') return bad("a line of the trailer must end in CR LF");
      return end_trailer_line();
    case state::data:
    case state::done:
      break;
  }
  return {};
}

result<void> chunk_decoder::begin_chunk() {
  if (size_ == 0) {
    state_ = state::trailer;
    return {};
  }
  if (size_ > limits_.body_bytes - taken_) {
    return fail(errc::body_too_large,
                "body: longer than the " + std::to_string(limits_.body_bytes) + " bytes that are allowed");
  }
  taken_ += size_;
  state_ = state::data;
  return {};
}

// An empty line is the end; any other is a field, which is not looked at (RFC 9110 §6.5.1).
result<void> chunk_decoder::end_trailer_line() {
  if (line_.empty()) {
    state_ = state::done;
    return {};
  }
  const auto colon = line_.find(':');
  if (colon == std::string::npos || !is_word(std::string_view(line_).substr(0, colon), "!#$%&'*+-.^_`|~"))
    return bad("a line of the trailer is no header field");
  line_.clear();
  state_ = state::trailer;
  return {};
}

result<void> chunk_decoder::count_overhead() {
  if (++overhead_ > limits_.overhead_bytes)
    return bad("more than " + std::to_string(limits_.overhead_bytes) +
               " bytes of chunk extensions and trailer fields");
  return {};
}

}  // namespace relay::http
