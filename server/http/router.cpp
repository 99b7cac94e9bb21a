#include "server/http/router.hpp"

namespace relay::http {
namespace {

bool matches(std::string_view pattern, std::string_view path, std::string_view& id) {
  const auto hole = pattern.find("{id}");
  if (hole == std::string_view::npos) return pattern == path;
  const std::string_view before = pattern.substr(0, hole);
  const std::string_view after = pattern.substr(hole + 4);
  if (path.size() <= before.size() + after.size() || !path.starts_with(before) || !path.ends_with(after))
    return false;
  const std::string_view middle = path.substr(before.size(), path.size() - before.size() - after.size());
  if (middle.find('/') != std::string_view::npos) return false;
  id = middle;
  return true;
}

void add(std::string& allow, std::string_view method) {
  if (allow.find(method) != std::string::npos) return;
  if (!allow.empty()) allow += ", ";
  allow += method;
}

}  // namespace

route_match find_route(std::span<const route_pattern> table, verb method, std::string_view path) {
  route_match out;
  const verb wanted = method == verb::head ? verb::get : method;
  bool exact = false;
  for (std::size_t i = 0; i < table.size(); ++i) {
    std::string_view id;
    if (!matches(table[i].pattern, path, id)) continue;
    const bool fixed = id.empty();
    const auto name = boost::beast::http::to_string(table[i].method);
    add(out.allow, {name.data(), name.size()});
    if (table[i].method == verb::get) add(out.allow, "HEAD");
    if (table[i].method != wanted) {
      if (out.what == route_match::kind::no_path) out.what = route_match::kind::no_method;
      continue;
    }
    if (out.what == route_match::kind::found && exact) continue;
    out.what = route_match::kind::found;
    out.index = i;
    out.id = id;
    exact = fixed;
  }
  if (!out.allow.empty()) add(out.allow, "OPTIONS");
  return out;
}

}  // namespace relay::http
