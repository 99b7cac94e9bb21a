#include "common/luma/links.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/ascii.hpp"

namespace relay::luma {
namespace {

constexpr int deepest = 8;
constexpr std::int64_t longest_seconds = 400 * 86'400;

std::optional<std::string_view> query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view field = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), field.size() + 1));
    const auto equals = field.find('=');
    if (equals != field.npos && iequals(field.substr(0, equals), name)) return field.substr(equals + 1);
  }
  return std::nullopt;
}

std::optional<std::int64_t> number(std::optional<std::string_view> text) {
  std::int64_t n = 0;
  if (!text) return std::nullopt;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), n);
  if (ec != std::errc{} || end != text->data() + text->size() || n <= 0) return std::nullopt;
  return n;
}

// 20250205T101500Z, the basic form of ISO 8601.
std::optional<timestamp> basic_time(std::optional<std::string_view> text) {
  if (!text || text->size() != 16) return std::nullopt;
  const std::string t(*text);
  return from_iso(t.substr(0, 4) + "-" + t.substr(4, 2) + "-" + t.substr(6, 5) + ":" + t.substr(11, 2) + ":" +
                  t.substr(13));
}

void earliest(link_end& of, const link_end& other) {
  if (is_set(other.at) && (!is_set(of.at) || other.at < of.at)) of.at = other.at;
  if (other.after.count() > 0 && (of.after.count() == 0 || other.after < of.after)) of.after = other.after;
}

void walk(const json::value& v, int depth, link_end& into) {
  if (depth > deepest) return;
  if (const json::string* s = v.if_string()) {
    const std::string_view text = view(*s);
    if (text.starts_with("http")) earliest(into, end_of_link(text));
  } else if (const json::array* list = v.if_array()) {
    for (const json::value& item : *list) walk(item, depth + 1, into);
  } else if (const json::object* o = v.if_object()) {
    // What the client gave is no result.
    for (const auto& m : *o) {
      if (m.key() != "request" && m.key() != "media_request") walk(m.value(), depth + 1, into);
    }
  }
}

}  // namespace

link_end end_of_link(std::string_view url) {
  link_end out;
  const auto mark = url.find('?');
  if (mark == url.npos) return out;
  const std::string_view query = url.substr(mark + 1, url.find('#') - mark - 1);
  for (const std::string_view maker : {"X-Amz-", "X-Goog-"}) {
    const auto seconds = number(query_value(query, std::string(maker) + "Expires"));
    if (!seconds || *seconds > longest_seconds) continue;
    const auto made = basic_time(query_value(query, std::string(maker) + "Date"));
    if (made)
      out.at = *made + std::chrono::seconds(*seconds);
    else
      out.after = std::chrono::seconds(*seconds);
    return out;
  }
  if (const auto unix_time = number(query_value(query, "Expires"));
      unix_time && *unix_time > 1'000'000'000 && *unix_time < 100'000'000'000)
    out.at = timestamp(std::chrono::seconds(*unix_time));
  return out;
}

link_end end_of_links(const json::value& reply) {
  link_end out;
  walk(reply, 0, out);
  return out;
}

}  // namespace relay::luma
