#pragma once

// An amount of money, in millionths of a unit of the one currency that a relay reckons in. Never a floating
// point number. Pure.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/error.hpp"

namespace relay {

struct money {
  std::int64_t millionths = 0;

  friend auto operator<=>(const money&, const money&) = default;
  friend money operator+(money a, money b) { return {a.millionths + b.millionths}; }
  friend money operator-(money a, money b) { return {a.millionths - b.millionths}; }
  friend money operator-(money a) { return {-a.millionths}; }
  money& operator+=(money b) { return *this = *this + b; }
};

inline constexpr std::int64_t millionths_of_unit = 1'000'000;
/// Neither an amount that is given nor a price is larger: a billion units. Sums have room for thousands of
/// them.
inline constexpr money max_money{1'000'000'000 * millionths_of_unit};

/// "12", "0.40", "-3.5": digits, at most six of them after a point; up to max_money. Errors: invalid_request.
result<money> parse_money(std::string_view text);
/// "12.00", "0.40", "-0.000125": two digits after the point, or as many more as it takes.
std::string to_text(money m);

/// a × part / whole, rounded to the nearest millionth, halves away from zero; at most `max_money`, whatever
/// the sign. `whole` is above 0.
money scaled(money a, std::int64_t part, std::int64_t whole);

}  // namespace relay
