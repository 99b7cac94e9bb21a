#pragma once

// Wall-clock times as the relay stores and shows them. Nothing here reads a clock: the time is an argument
// everywhere in common/, so that every decision can be tested.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace relay {

/// UTC, microseconds. The epoch itself means "not set" in a stored task.
using timestamp = std::chrono::sys_time<std::chrono::microseconds>;
using std::chrono::milliseconds;

inline constexpr timestamp never{};

inline bool is_set(timestamp t) {
  return t != never;
}

/// Digits after the decimal point of the seconds.
enum class precision { milliseconds = 3, microseconds = 6 };

/// RFC 3339 in UTC with exactly the digits asked for: `2024-11-27T13:50:56.313494Z`.
std::string to_iso(timestamp t, precision p);

/// Reads RFC 3339, and what upstreams make of it: any number of decimals, `T` or a space, `Z`, `+hh:mm` or
/// nothing at the end (UTC). nullopt when it is no such time.
std::optional<timestamp> from_iso(std::string_view text);

/// Reads an IMF-fixdate, the date of HTTP (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`. nullopt when it
/// is none.
std::optional<timestamp> from_http_date(std::string_view text);

/// Whole seconds since the epoch, rounded down; 0 when not set.
std::int64_t to_unix(timestamp t);

}  // namespace relay
