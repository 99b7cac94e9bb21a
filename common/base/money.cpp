#include "common/base/money.hpp"

#include <algorithm>
#include <charconv>

namespace relay {
namespace {

constexpr std::size_t most_digits_after_point = 6;

bool all_digits(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

result<money> parse_money(std::string_view text) {
  const auto refused = [] {
    return fail(errc::invalid_request,
                "must be an amount such as \"0.40\": digits, at most six of them after a point, up to " +
                    std::to_string(max_money.millionths / millionths_of_unit));
  };
  const bool is_negative = text.starts_with('-');
  if (is_negative) text.remove_prefix(1);
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  std::string part(point == text.npos ? "" : text.substr(point + 1));
  if (whole.empty() || !all_digits(whole) || !all_digits(part) || part.size() > most_digits_after_point ||
      (point != text.npos && part.empty()))
    return refused();
  part.resize(most_digits_after_point, '0');
  std::int64_t units = 0, millionths = 0;
  const auto read = std::from_chars(whole.data(), whole.data() + whole.size(), units);
  std::from_chars(part.data(), part.data() + part.size(), millionths);
  if (read.ec != std::errc{} || units > max_money.millionths / millionths_of_unit) return refused();
  const money out{units * millionths_of_unit + millionths};
  if (out > max_money) return refused();
  return is_negative ? -out : out;
}

std::string to_text(money m) {
  const bool is_negative = m.millionths < 0;
  // The magnitude as unsigned: the smallest number has no positive counterpart.
  const std::uint64_t all =
      is_negative ? 0 - static_cast<std::uint64_t>(m.millionths) : static_cast<std::uint64_t>(m.millionths);
  std::string part = std::to_string(all % millionths_of_unit);
  part.insert(0, most_digits_after_point - part.size(), '0');
  while (part.size() > 2 && part.back() == '0') part.pop_back();
  return (is_negative ? "-" : "") + std::to_string(all / millionths_of_unit) + "." + part;
}

money scaled(money a, std::int64_t part, std::int64_t whole) {
  const __int128 product = static_cast<__int128>(a.millionths) * part;
  const __int128 half = whole / 2;
  const __int128 rounded = (product + (product < 0 ? -half : half)) / whole;
  return {
      static_cast<std::int64_t>(std::clamp<__int128>(rounded, -max_money.millionths, max_money.millionths))};
}

}  // namespace relay
