#include "server/http/byte_range.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/base/ascii.hpp"

namespace relay::http {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t out = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return out;
}

}  // namespace

byte_range parse_range(std::string_view header, std::uint64_t size) {
  using enum byte_range::kind;
  const byte_range all{whole, 0, size};
  constexpr std::string_view unit = "bytes=";
  if (header.size() <= unit.size() || !iequals(header.substr(0, unit.size()), unit)) return all;
  const std::string_view spec = trim(header.substr(unit.size()));
  const auto dash = spec.find('-');
  if (dash == spec.npos || spec.find(',') != spec.npos) return all;
  const std::string_view from = spec.substr(0, dash);
  const std::string_view to = spec.substr(dash + 1);

  if (from.empty()) {  // the last so many
    const auto last = number(to);
    if (!last) return all;
    if (*last == 0 || size == 0) return {unsatisfiable, 0, 0};
    const std::uint64_t bytes = std::min(*last, size);
    return {part, size - bytes, bytes};
  }
  const auto first = number(from);
  const auto last = to.empty() ? std::optional(size) : number(to);
  if (!first || !last || (!to.empty() && *last < *first)) return all;
  if (*first >= size) return {unsatisfiable, 0, 0};
  return {part, *first, std::min(size - 1, *last) - *first + 1};
}

}  // namespace relay::http
