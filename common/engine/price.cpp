#include "common/engine/price.hpp"

#include <charconv>

#include "common/base/json_arena.hpp"

namespace relay {

job_traits traits_of(const json::object& request, const action& a, const model_names& names) {
  return a.describe != nullptr ? a.describe(request, a, names) : job_traits{};
}

job_traits traits_of(std::string_view request, const action& a, const model_names& names) {
  json_arena memory;
  const auto parsed = parse_lenient(request, memory.storage());
  return parsed && parsed->is_object() ? traits_of(parsed->get_object(), a, names) : job_traits{};
}

std::optional<milliseconds> length_of(std::string_view duration) {
  std::int64_t unit = 1'000;
  if (duration.ends_with("ms")) {
    unit = 1;
    duration.remove_suffix(2);
  } else if (duration.ends_with('s')) {
    duration.remove_suffix(1);
  }
  // The digits of a decimal number are read as an amount is: exactly.
  const auto number = parse_money(duration);
  if (!number) return std::nullopt;
  const milliseconds out(scaled(*number, unit, millionths_of_unit).millionths);
  constexpr milliseconds longest = std::chrono::days(1);
  return out.count() > 0 && out <= longest ? std::optional(out) : std::nullopt;
}

std::string duration_word(std::string_view duration) {
  const auto length = length_of(duration);
  if (!length) return std::string(duration);
  return length->count() % 1'000 == 0 ? std::to_string(length->count() / 1'000) + "s"
                                      : std::to_string(length->count()) + "ms";
}

bool matches(std::string_view pattern, std::string_view word) {
  // The last "*" takes one more character whenever what follows it does not fit.
  std::size_t p = 0, w = 0, star = pattern.npos, taken = 0;
  while (w < word.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = w;
    } else if (p < pattern.size() && pattern[p] == word[w]) {
      ++p;
      ++w;
    } else if (star != pattern.npos) {
      p = star + 1;
      w = ++taken;
    } else {
      return false;
    }
  }
  return pattern.substr(p).find_first_not_of('*') == pattern.npos;
}

bool price_rule::applies_to(const relay::action& a, const job_traits& job) const {
  return matches(action, a.name) && matches(model, job.model) && matches(resolution, job.resolution) &&
         matches(duration, job.duration);
}

std::optional<money> price_of(const std::vector<price_rule>& table, const action& a, const job_traits& job) {
  for (const price_rule& rule : table) {
    if (!rule.applies_to(a, job)) continue;
    if (!rule.per_second) return rule.price;
    if (!job.length) return std::nullopt;
    return scaled(rule.price, job.length->count(), 1'000);
  }
  return std::nullopt;
}

}  // namespace relay
