#include "server/admin/shape.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/text.hpp"
#include "server/http/message.hpp"

namespace relay {
namespace {

constexpr std::size_t most_shown = 60;  // bytes of a name that is wrong

std::unexpected<error> wrong(std::string_view name, std::string_view what) {
  return fail(errc::invalid_request, std::string(name).append(": ").append(what));
}

std::string listed(std::span<const std::string_view> words) {
  std::string out;
  for (const std::string_view w : words) out.append(out.empty() ? "" : ", ").append(w);
  return out;
}

std::string names_of(const shape& s) {
  std::string out;
  for (const json_field& f : s.fields) out.append(out.empty() ? "" : ", ").append(f.name);
  return out;
}

const json_field* field_of(const shape& s, std::string_view name) {
  const auto found = std::ranges::find(s.fields, name, &json_field::name);
  return found == s.fields.end() ? nullptr : &*found;
}

result<void> unknown(const shape& s, std::string_view name) {
  const std::string allowed = names_of(s);
  return wrong(for_log(name, most_shown),
               allowed.empty() ? "nothing is expected here" : "not known here; there are " + allowed);
}

result<void> check_text(const json_field& f, std::string_view text) {
  if (f.max > 0 && f.is == json_kind::text && code_points(text) > static_cast<std::size_t>(f.max))
    return wrong(f.name, "it may have " + std::to_string(f.max) + " characters");
  if (!f.allowed.empty() && std::ranges::find(f.allowed, text) == f.allowed.end())
    return wrong(f.name, "must be one of " + listed(f.allowed));
  if (f.form != nullptr && !f.form->holds(text)) return wrong(f.name, f.form->rule);
  return {};
}

result<void> check_whole(const json_field& f, const json::value& v) {
  if (!v.is_int64() || v.get_int64() < f.min || (f.max > 0 && v.get_int64() > f.max)) {
    std::string rule = "must be a whole number from " + std::to_string(f.min);
    if (f.max > 0) rule += " to " + std::to_string(f.max);
    return wrong(f.name, rule);
  }
  return {};
}

result<void> check_texts(const json_field& f, const json::value& v) {
  if (!v.is_array()) return wrong(f.name, "must be a list of texts");
  if (f.max > 0 && v.get_array().size() > static_cast<std::size_t>(f.max))
    return wrong(f.name, "it may have " + std::to_string(f.max) + " items");
  for (const json::value& item : v.get_array()) {
    if (!item.is_string()) return wrong(f.name, "must be a list of texts");
    if (auto ok = check_text(f, view(item.get_string())); !ok) return ok;
  }
  return {};
}

// What is wrong within it is named with it.
result<void> check_object(const json_field& f, const json::value& v) {
  if (!v.is_object()) return wrong(f.name, "must be an object");
  auto ok = check(*f.of, v.get_object());
  if (!ok) return fail(ok.error().code, std::string(f.name) + "." + ok.error().message.text);
  return ok;
}

// Of one member. A list of objects is in responses alone.
result<void> check_value(const json_field& f, const json::value& v) {
  if (v.is_null() && f.nullable) return {};
  switch (f.is) {
    case json_kind::text:
      return v.is_string() ? check_text(f, view(v.get_string())) : wrong(f.name, "must be text");
    case json_kind::whole:
      return check_whole(f, v);
    case json_kind::flag:
      return v.is_bool() ? result<void>{} : wrong(f.name, "must be true or false");
    case json_kind::texts:
      return check_texts(f, v);
    case json_kind::numbers:
    case json_kind::object:
      return check_object(f, v);
    case json_kind::objects:
    case json_kind::any:
      break;
  }
  return {};
}

// A query has texts only.
result<json::value> value_in_query(const json_field& f, std::string text) {
  if (f.is == json_kind::whole) {
    std::int64_t number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    if (read.ec != std::errc{} || read.ptr != text.data() + text.size())
      return wrong(f.name, "must be a whole number");
    return json::value(number);
  }
  if (f.is == json_kind::flag) {
    if (text != "true" && text != "false") return wrong(f.name, "must be true or false");
    return json::value(text == "true");
  }
  return json::value(json::string(text));
}

}  // namespace

result<void> check(const shape& s, const json::object& o) {
  for (const auto& [key, value] : o) {
    const json_field* f = field_of(s, view(key));
    if (f == nullptr) return unknown(s, view(key));
    if (auto ok = check_value(*f, value); !ok) return ok;
  }
  for (const json_field& f : s.fields) {
    if (f.required && !o.contains(f.name)) return wrong(f.name, "it is missing");
  }
  return {};
}

result<json::object> read_query(const shape& s, std::string_view query) {
  json::object out;
  while (!query.empty()) {
    const std::string_view part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), part.size() + 1));
    if (part.empty()) continue;
    const auto equals = part.find('=');
    const auto name = http::percent_decode(part.substr(0, equals));
    const json_field* f = name ? field_of(s, *name) : nullptr;
    if (f == nullptr) {
      auto refused = unknown(s, part.substr(0, equals));
      return std::unexpected(std::move(refused.error()));
    }
    std::string encoded(equals == part.npos ? std::string_view{} : part.substr(equals + 1));
    std::ranges::replace(encoded, '+', ' ');
    auto text = http::percent_decode(encoded);
    if (!text || as_utf8(*text) != *text) return wrong(f->name, "it is not encoded as a query is, in UTF-8");
    if (out.contains(f->name)) return wrong(f->name, "it is there twice");
    auto value = value_in_query(*f, std::move(*text));
    if (!value) return std::unexpected(std::move(value.error()));
    out[f->name] = std::move(*value);
  }
  if (auto ok = check(s, out); !ok) return std::unexpected(std::move(ok.error()));
  return out;
}

}  // namespace relay
