#pragma once

// Text from outside, made fit to be shown.

#include <string>
#include <string_view>

namespace relay {

/// `text` cut to at most `limit` bytes, never inside a UTF-8 sequence.
std::string_view cut(std::string_view text, std::size_t limit);

/// Number of Unicode code points in valid UTF-8.
std::size_t code_points(std::string_view text);

/// `text` as valid UTF-8: each byte that is no part of a character becomes U+FFFD (Unicode §3.9).
std::string as_utf8(std::string_view text);

/// One log line's worth: control characters and quotes escaped, cut to `limit` bytes (rule S7).
std::string for_log(std::string_view text, std::size_t limit = 300);
/// The same, at the end of `out`.
void append_for_log(std::string& out, std::string_view text, std::size_t limit = 300);

}  // namespace relay
