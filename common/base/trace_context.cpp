#include "common/base/trace_context.hpp"

#include <algorithm>

namespace relay {

bool valid_traceparent(std::string_view text) {
  constexpr std::size_t length = 55, trace = 3, parent = 36, flags = 53;
  if (text.size() != length || !text.starts_with("00-") || text[parent - 1] != '-' || text[flags - 1] != '-')
    return false;
  const auto is_hex = [](std::string_view part) {
    return std::ranges::all_of(part, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  };
  const std::string_view trace_id = text.substr(trace, 32), parent_id = text.substr(parent, 16);
  return is_hex(trace_id) && is_hex(parent_id) && is_hex(text.substr(flags)) &&
         trace_id.find_first_not_of('0') != text.npos && parent_id.find_first_not_of('0') != text.npos;
}

}  // namespace relay
