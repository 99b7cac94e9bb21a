#pragma once

// JSON in and out. `parse_strict` is for what clients send: it refuses what Boost.JSON alone would let pass.
// `parse_lenient` is for what upstreams send: we take what we can read. The readers never throw.

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/text.hpp"

namespace relay {

namespace json = boost::json;

inline constexpr std::size_t max_json_depth = 32;  // of what clients send
/// Of what upstreams send. Well above the other: what a client sent comes back inside it (rule T2).
inline constexpr std::size_t max_upstream_json_depth = 256;

/// One JSON text, RFC 8259, UTF-8. Refuses: depth over 32, a key twice in one object, a number that is not
/// finite, U+0000 in text, anything after the value. Errors: invalid_request, with a violation whose `loc` is
/// ("body", byte offset). `storage`: where the value lives, such as a json_arena.
result<json::value> parse_strict(std::string_view text, json::storage_ptr storage = {});

/// nullopt when it is not JSON, or deeper than max_upstream_json_depth.
std::optional<json::value> parse_lenient(std::string_view text, json::storage_ptr storage = {});

/// The member, or null when it is absent, JSON null, or `from` is no object.
const json::value* member(const json::value& from, std::string_view key);
const json::value* member(const json::object& from, std::string_view key);

/// The member's text; empty when it is absent or no string.
std::string_view text_of(const json::object& from, std::string_view key);

/// The first of several members that is a string with at least one character.
std::string_view first_text(const json::object& from, std::initializer_list<std::string_view> keys);

inline std::string_view view(const json::string& s) {
  return {s.data(), s.size()};
}
inline std::string_view view(json::string_view s) {
  return {s.data(), s.size()};
}

/// Bytes of its text, at least, without writing it: what a client sent, give or take escapes and spaces.
std::size_t text_size(const json::value& v);

}  // namespace relay
