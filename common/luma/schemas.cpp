#include "common/luma/schemas.hpp"

#include "common/luma/actions.hpp"

namespace relay::luma {
namespace {

json::object of_type(std::string_view type) {
  return {{"type", json::string(type)}};
}

json::object words_of(std::span<const std::string_view> words) {
  json::array list;
  for (const std::string_view w : words) list.emplace_back(json::string(w));
  return {{"type", "string"}, {"enum", std::move(list)}};
}

json::object file_schema(bool is_weighted) {
  json::object properties{{"url", of_type("string")}};
  if (is_weighted) properties["weight"] = {{"type", "number"}, {"minimum", 0}, {"maximum", 1}};
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", {"url"}}};
}

json::object frames_schema() {
  const json::object frame{{"type", "object"},
                           {"properties",
                            {{"type", words_of(std::array<std::string_view, 2>{"image", "generation"})},
                             {"url", of_type("string")},
                             {"id", of_type("string")}}}};
  return {{"type", "object"}, {"properties", {{"frame0", frame}, {"frame1", frame}}}};
}

json::object schema_of(const field_rule& rule) {
  switch (rule.is) {
    case shape::text:
      return of_type("string");
    case shape::flag:
      return of_type("boolean");
    case shape::whole:
      return of_type("integer");
    case shape::number:
      return of_type("number");
    case shape::word:
      return words_of(rule.words);
    case shape::frames:
      return frames_schema();
    case shape::file:
    case shape::picture:
      return file_schema(rule.is == shape::picture);
    case shape::pictures:
      return {{"type", "array"}, {"items", file_schema(true)}};
    case shape::identities:
      return {{"type", "object"},
              {"additionalProperties",
               {{"type", "object"},
                {"properties", {{"images", {{"type", "array"}, {"items", of_type("string")}}}}},
                {"required", {"images"}}}}};
    case shape::any:
      break;
  }
  return {};
}

}  // namespace

json::object request_schema(const relay::action& a) {
  json::object properties{{"prompt", of_type("string")}, {"callback_url", of_type("string")}};
  json::array required;
  for (const field_rule& rule : row_of(a).fields) {
    properties[rule.name] = schema_of(rule);
    if (rule.required) required.emplace_back(json::string(rule.name));
  }
  json::object out{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}

json::object official_schema() {
  return {{"type", "object"},
          {"properties",
           {{"id", of_type("string")},
            {"state", words_of(std::array<std::string_view, 4>{"queued", "dreaming", "completed", "failed"})},
            {"failure_reason", {{"type", {"string", "null"}}}},
            {"created_at", of_type("string")},
            {"assets", {{"type", {"object", "null"}}}},
            {"model", {{"type", {"string", "null"}}}},
            {"request", {{"type", {"object", "null"}}}}}},
          {"required", {"id", "state", "created_at"}}};
}

json::object web_app_schema() {
  return {{"type", "object"},
          {"properties", {{"id", of_type("string")}, {"state", of_type("string")}}},
          {"required", {"id", "state"}}};
}

json::object link_schema() {
  return {{"type", "object"}, {"properties", {{"url", of_type("string")}}}, {"required", {"url"}}};
}

}  // namespace relay::luma
