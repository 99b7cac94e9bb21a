#include "common/base/json_text.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "common/base/eight_bytes.hpp"

namespace relay {
namespace {

// True if one of the eight bytes must be escaped: below 0x20, a quote, a backslash.
bool any_special(std::uint64_t bytes) {
  using namespace eight_bytes;
  return (below(bytes, 0x20) | equal(bytes, '"') | equal(bytes, '\\')) != 0;
}

bool is_special(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\';
}

// Bytes at the front that stand for themselves.
std::size_t plain_prefix(std::string_view text) {
  std::size_t n = 0;
  if (text.size() >= 8) {
    const std::size_t last = text.size() - 8;
    while (n < last && !any_special(eight_bytes::at(text.data() + n))) n += 8;
    // The last eight overlap those before them.
    if (n >= last && !any_special(eight_bytes::at(text.data() + last))) return text.size();
    n = std::min(n, last);
  }
  while (n < text.size() && !is_special(text[n])) ++n;
  return n;
}

// Space at the end, for the caller to write to.
char* grow(std::string& out, std::size_t by) {
  const std::size_t at = out.size();
  out.resize_and_overwrite(at + by, [at, by](char*, std::size_t) { return at + by; });
  return out.data() + at;
}

void append_escaped(std::string& out, char c) {
  static constexpr char hex[] = "0123456789abcdef";
  constexpr std::string_view letters = "btnvfr";  // from 0x08 on; "v" is none of JSON's
  out += '\\';
  if (c == '"' || c == '\\') {
    out += c;
  } else if (c >= 0x08 && c <= 0x0d && c != 0x0b) {
    out += letters[static_cast<std::size_t>(c - 0x08)];
  } else {
    out.append("u00");
    out += hex[static_cast<unsigned char>(c) >> 4];
    out += hex[c & 15];
  }
}

template <class Number>
void append_number(std::string& out, Number n) {
  char text[24];
  out.append(text, std::to_chars(text, text + sizeof text, n).ptr);
}

}  // namespace

void append_json(std::string& out, std::string_view text) {
  if (plain_prefix(text) == text.size()) {
    char* to = grow(out, text.size() + 2);
    *to = '"';
    text.copy(to + 1, text.size());
    to[text.size() + 1] = '"';
    return;
  }
  out += '"';
  for (;;) {
    const std::size_t plain = plain_prefix(text);
    out.append(text.substr(0, plain));
    if (plain == text.size()) break;
    append_escaped(out, text[plain]);
    text.remove_prefix(plain + 1);
  }
  out += '"';
}

void append_json(std::string& out, std::int64_t number) {
  append_number(out, number);
}

void json_object_writer::append_key(const char* name, std::size_t size) {
  const std::size_t comma = first_ ? 0 : 1;
  first_ = false;
  char* to = grow(out_, comma + size + 3);
  *to = ',';
  to += comma;
  *to = '"';
  std::memcpy(to + 1, name, size);
  to[size + 1] = '"';
  to[size + 2] = ':';
}

void append_json(std::string& out, const json::object& v) {
  json_object_writer w(out);
  for (const auto& m : v) w.member(view(m.key()), m.value());
  w.end();
}

// Clients' values nest 32 levels at most, upstreams' 256.
void append_json(std::string& out, const json::value& v) {
  switch (v.kind()) {
    case json::kind::null:
      return append_json(out, nullptr);
    case json::kind::bool_:
      return append_json(out, v.get_bool());
    case json::kind::int64:
      return append_number(out, v.get_int64());
    case json::kind::uint64:
      return append_number(out, v.get_uint64());
    case json::kind::double_:
      out.append(json::serialize(v));
      return;
    case json::kind::string:
      return append_json(out, view(v.get_string()));
    case json::kind::object:
      return append_json(out, v.get_object());
    case json::kind::array:
      break;
  }
  out += '[';
  bool first = true;
  for (const json::value& item : v.get_array()) {
    if (!first) out += ',';
    first = false;
    append_json(out, item);
  }
  out += ']';
}

std::string to_text(const json::object& v) {
  constexpr std::size_t usual = 256;  // of a request; what is longer grows
  std::string out;
  out.reserve(usual);
  append_json(out, v);
  return out;
}

}  // namespace relay
