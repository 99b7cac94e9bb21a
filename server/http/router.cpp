#include "server/http/router.hpp"

#include <algorithm>

namespace relay::http {
namespace {

// Segment by segment; a name in "{…}" matches any one that is not empty.
bool matches(const route_pattern& row, std::string_view path, std::string_view& id, std::string_view& key) {
  std::string_view pattern = row.pattern;
  if (row.fixed == std::string_view::npos) return pattern == path;
  if (!path.starts_with(pattern.substr(0, row.fixed))) return false;
  // From the slash before the first "{".
  pattern.remove_prefix(row.fixed - 1);
  path.remove_prefix(row.fixed - 1);
  while (!pattern.empty() && !path.empty()) {
    if (pattern.front() != '/' || path.front() != '/') return false;
    const auto pattern_end = std::min(pattern.find('/', 1), pattern.size());
    const auto path_end = std::min(path.find('/', 1), path.size());
    const std::string_view want = pattern.substr(1, pattern_end - 1);
    const std::string_view have = path.substr(1, path_end - 1);
    if (want.starts_with('{')) {
      if (have.empty()) return false;
      (id.empty() ? id : key) = have;
    } else if (want != have) {
      return false;
    }
    pattern.remove_prefix(pattern_end);
    path.remove_prefix(path_end);
  }
  return pattern.empty() && path.empty();
}

void add(std::string& allow, std::string_view method) {
  if (allow.find(method) != std::string::npos) return;
  if (!allow.empty()) allow += ", ";
  allow += method;
}

}  // namespace

route_match find_route(std::span<const route_pattern> table, verb method, std::string_view path) {
  route_match out;
  // 1. The row: a fixed path wins over one with an id in it.
  const verb wanted = method == verb::head ? verb::get : method;
  const std::ptrdiff_t slashes = std::ranges::count(path, '/');
  for (std::size_t i = 0; i < table.size(); ++i) {
    std::string_view id, key;
    if (table[i].slashes != slashes || table[i].method != wanted || !matches(table[i], path, id, key))
      continue;
    if (out.what == route_match::kind::found && !id.empty()) continue;
    out = {route_match::kind::found, i, id, key, {}};
    if (id.empty()) break;
  }
  if (out.what == route_match::kind::found && method != verb::options) return out;
  // 2. What the path has instead.
  for (const route_pattern& row : table) {
    std::string_view id, key;
    if (!matches(row, path, id, key)) continue;
    out.what = route_match::kind::no_method;
    const auto name = boost::beast::http::to_string(row.method);
    add(out.allow, {name.data(), name.size()});
    if (row.method == verb::get) add(out.allow, "HEAD");
  }
  if (!out.allow.empty()) add(out.allow, "OPTIONS");
  return out;
}

}  // namespace relay::http
