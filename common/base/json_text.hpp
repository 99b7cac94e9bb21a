#pragma once

// JSON as text, appended to a buffer: what clients and upstreams get is written in one pass, without a value
// for it in between. The bytes are those of json::serialize.

#include <string>
#include <string_view>

#include "common/base/json.hpp"

namespace relay {

void append_json(std::string& out, const json::value& v);
void append_json(std::string& out, const json::object& v);
void append_json(std::string& out, std::string_view text);
void append_json(std::string& out, std::int64_t number);
inline void append_json(std::string& out, const char* text) {
  append_json(out, std::string_view(text));
}
inline void append_json(std::string& out, std::nullptr_t) {
  out.append("null");
}
inline void append_json(std::string& out, bool yes) {
  out.append(yes ? "true" : "false");
}

std::string to_text(const json::object& v);

/// An object, member by member. Keys are not looked at: one must not be written twice.
class json_object_writer {
 public:
  explicit json_object_writer(std::string& out) : out_(out) { out_ += '{'; }
  json_object_writer(const json_object_writer&) = delete;
  json_object_writer& operator=(const json_object_writer&) = delete;

  /// Writes the key; its value is appended to `out` by the caller.
  std::string& key(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    append_json(out_, name);
    out_ += ':';
    return out_;
  }
  /// The same for a literal, in which nothing is to be escaped.
  template <std::size_t Size>
  std::string& key(const char (&name)[Size]) {
    append_key(name, Size - 1);
    return out_;
  }
  void member(std::string_view name, const auto& value) { append_json(key(name), value); }
  template <std::size_t Size>
  void member(const char (&name)[Size], const auto& value) {
    append_json(key(name), value);
  }
  void end() { out_ += '}'; }

 private:
  void append_key(const char* name, std::size_t size);

  std::string& out_;
  bool first_ = true;
};

}  // namespace relay
