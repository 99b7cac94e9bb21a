#pragma once

// Usage as customers and operators ask for it: days and columns as text, rows as JSON or CSV. Pure.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.hpp"
#include "storage/store.hpp"

namespace relay {

/// "2026-11-29". Errors: invalid_request, with what is allowed.
result<std::int32_t> parse_day(std::string_view text);
std::string day_text(std::int32_t day);

/// "day,action,model"; each once. `allowed`: those that the caller may tell apart by. Errors:
/// invalid_request, with what is allowed.
result<std::vector<usage_by>> parse_usage_by(std::string_view text, std::span<const usage_by> allowed);

/// The names that ids have in a report.
struct report_names {
  std::function<std::string(std::int64_t)> account, token;
};
/// What upstreams take is the operator's alone.
enum class report_for : std::uint8_t { customer, operators };

/// Rows of store::usage(), each an object; amounts are text.
json::array usage_as_json(const std::vector<usage_entry>& rows, const std::vector<usage_by>& by,
                          const report_names& names, report_for whom);
/// The same as CSV (RFC 4180), with a line of names first.
std::string usage_as_csv(const std::vector<usage_entry>& rows, const std::vector<usage_by>& by,
                         const report_names& names, report_for whom);

}  // namespace relay
