#pragma once

// Reads HTTP/1.1 responses as they arrive and throws their bodies away (RFC 9112: content-length, chunked,
// 1xx before the final response, 204 and 304 without a body). A body that only the end of the connection
// delimits is an error: the servers that are measured never send one to a client that keeps its connection.
// One thread.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace relay::bench {

class response_reader {
 public:
  enum class state : std::uint8_t { more, complete, malformed };

  /// Takes bytes until the response is complete; those after it are malformed, because only one request is
  /// under way.
  state feed(std::string_view bytes) {
    while (!bytes.empty()) {
      switch (at_) {
        case part::head:
          take_head(bytes);
          break;
        case part::body:
          skip_body(bytes);
          break;
        case part::line:
          take_line(bytes);
          break;
        default:
          return end_with(state::malformed);
      }
      if (at_ == part::complete) return end_with(bytes.empty() ? state::complete : state::malformed);
      if (at_ == part::malformed) return end_with(state::malformed);
    }
    return state::more;
  }

  /// Of the last response.
  int status() const { return status_; }
  bool closes() const { return closes_; }

  /// Forgets what has arrived of the next response.
  void reset() {
    at_ = part::head;
    kept_.clear();
  }

 private:
  enum class part : std::uint8_t { head, body, line, complete, malformed };
  enum class line_kind : std::uint8_t { size, end_of_chunk, trailer };
  static constexpr std::size_t max_head = 64 * 1024;

  state end_with(state s) {
    reset();
    return s;
  }

  void take_head(std::string_view& bytes) {
    // Nearly always the head comes whole, and nothing is copied.
    if (kept_.empty()) {
      if (const auto end = bytes.find("\r\n\r\n"); end != bytes.npos) {
        const auto head = bytes.substr(0, end + 2);
        bytes.remove_prefix(end + 4);
        return read_head(head);
      }
    }
    const auto before = kept_.size();
    kept_.append(bytes);
    const auto end = kept_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
    if (end == kept_.npos) {
      bytes = {};
      if (kept_.size() > max_head) at_ = part::malformed;
      return;
    }
    bytes.remove_prefix(end + 4 - before);
    kept_.resize(end + 2);
    read_head(kept_);
    kept_.clear();
  }

  // `head` ends with the line end of its last line.
  void read_head(std::string_view head) {
    if (head.size() < 12 || !head.starts_with("HTTP/1.1 ")) return fail();
    if (!number(head.substr(9, 3), 10, left_)) return fail();
    status_ = static_cast<int>(left_);
    closes_ = has_length_ = chunked_ = false;
    left_ = 0;
    head.remove_prefix(head.find("\r\n") + 2);
    while (!head.empty()) {
      const auto end = head.find("\r\n");
      if (!read_field(head.substr(0, end))) return fail();
      head.remove_prefix(end + 2);
    }
    begin_body();
  }

  bool read_field(std::string_view line) {
    const auto colon = line.find(':');
    if (colon == line.npos) return false;
    const auto name = line.substr(0, colon);
    const auto value = trimmed(line.substr(colon + 1));
    if (same(name, "content-length")) return has_length_ = number(value, 10, left_);
    if (same(name, "transfer-encoding")) return chunked_ = same(value, "chunked");
    if (same(name, "connection")) closes_ = same(value, "close");
    return true;
  }

  void begin_body() {
    if (status_ < 200) return;  // the final response follows
    if (status_ == 204 || status_ == 304) return complete();
    if (chunked_) return expect(line_kind::size);
    if (!has_length_) return fail();
    at_ = left_ == 0 ? part::complete : part::body;
  }

  void skip_body(std::string_view& bytes) {
    const auto taken = std::min<std::uint64_t>(left_, bytes.size());
    bytes.remove_prefix(taken);
    left_ -= taken;
    if (left_ > 0) return;
    if (chunked_) return expect(line_kind::end_of_chunk);
    complete();
  }

  void take_line(std::string_view& bytes) {
    const auto end = bytes.find('\n');
    kept_.append(bytes.substr(0, end == bytes.npos ? end : end + 1));
    bytes.remove_prefix(end == bytes.npos ? bytes.size() : end + 1);
    if (kept_.size() > max_head) return fail();
    if (!kept_.ends_with('\n')) return;
    if (!kept_.ends_with("\r\n")) return fail();
    kept_.resize(kept_.size() - 2);
    read_line(kept_);
    kept_.clear();
  }

  void read_line(std::string_view line) {
    switch (line_) {
      case line_kind::size:
        if (!number(trimmed(line.substr(0, line.find(';'))), 16, left_)) return fail();
        if (left_ == 0) return expect(line_kind::trailer);
        at_ = part::body;
        return;
      case line_kind::end_of_chunk:
        return line.empty() ? expect(line_kind::size) : fail();
      case line_kind::trailer:
        return line.empty() ? complete() : expect(line_kind::trailer);
    }
  }

  void expect(line_kind kind) {
    at_ = part::line;
    line_ = kind;
  }
  void complete() { at_ = part::complete; }
  void fail() { at_ = part::malformed; }

  static bool number(std::string_view text, unsigned base, std::uint64_t& out) {
    if (text.empty() || text.size() > 15) return false;
    out = 0;
    for (const char c : text) {
      const char low = lower(c);
      const unsigned digit = low >= '0' && low <= '9'   ? static_cast<unsigned>(low - '0')
                             : low >= 'a' && low <= 'f' ? static_cast<unsigned>(low - 'a' + 10)
                                                        : 99;
      if (digit >= base) return false;
      out = out * base + digit;
    }
    return true;
  }
  static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
  static bool same(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, lower, lower);
  }
  static std::string_view trimmed(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
    return s;
  }

  part at_ = part::head;
  line_kind line_ = line_kind::size;
  bool closes_ = false;
  bool has_length_ = false;
  bool chunked_ = false;
  int status_ = 0;
  std::uint64_t left_ = 0;
  std::string kept_;  // of a head or line that came in parts
};

}  // namespace relay::bench
