#include "server/handlers/waiting.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/ascii.hpp"

namespace relay::handlers {
namespace {

// The value of one preference, `wait=N` or `wait="N"`; nullopt: it is no number.
std::optional<std::chrono::seconds> seconds_of(std::string_view value) {
  if (value.size() >= 2 && value.starts_with('"') && value.ends_with('"'))
    value = value.substr(1, value.size() - 2);
  unsigned seconds = 0;
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (value.empty() || end != value.data() + value.size()) return std::nullopt;
  if (ec == std::errc::result_out_of_range) return max_wait;
  if (ec != std::errc{}) return std::nullopt;
  return std::min<std::chrono::seconds>(std::chrono::seconds(seconds), max_wait);
}

std::optional<std::chrono::seconds> wait_in(std::string_view preferences) {
  while (!preferences.empty()) {
    const auto comma = std::min(preferences.find(','), preferences.size());
    std::string_view one = preferences.substr(0, comma);
    preferences.remove_prefix(std::min(comma + 1, preferences.size()));
    one = trim(one.substr(0, one.find(';')));
    const auto equals = one.find('=');
    if (equals == std::string_view::npos || !iequals(trim(one.substr(0, equals)), "wait")) continue;
    return seconds_of(trim(one.substr(equals + 1)));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::chrono::seconds> preferred_wait(const call& c) {
  for (const http::header_field& f : *c.http.headers) {
    if (!iequals(f.name, "Prefer")) continue;
    if (const auto wait = wait_in(f.value)) return wait;
  }
  return std::nullopt;
}

std::string preference_applied(std::chrono::seconds wait) {
  return "wait=" + std::to_string(wait.count());
}

}  // namespace relay::handlers
