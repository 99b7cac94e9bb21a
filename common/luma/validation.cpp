#include "common/luma/validation.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "common/base/id.hpp"
#include "common/base/url.hpp"

namespace relay {
namespace {

constexpr std::size_t most_reported =
    20;  // of each kind: a million wrong items are not worth a million lines

constexpr std::array<std::string_view, 7> aspect_ratios = {"1:1", "16:9", "9:16", "4:3",
                                                           "3:4", "21:9", "9:21"};

std::string shown(const json::value* input) {
  if (input == nullptr) return {};
  const std::string text =
      input->is_string() ? std::string(view(input->get_string())) : json::serialize(*input);
  return std::string(cut(text, 200));
}

std::vector<std::string> body(std::string_view a) {
  return {"body", std::string(a)};
}

std::string list(std::span<const std::string_view> words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += "'" + std::string(words[i]) + "'";
  }
  return text;
}

// Returns the member when it is there and a string; says what is wrong when it is there and is not.
const json::value* want_string(const json::object& o, std::string_view key, std::vector<std::string> loc,
                               problems& out) {
  const json::value* v = member(o, key);
  if (v == nullptr || v->is_string()) return v;
  out.wrong_type(std::move(loc), "string_type", "Input should be a valid string", v);
  return nullptr;
}

void want_bool(const json::object& o, std::string_view key, problems& out) {
  const json::value* v = member(o, key);
  if (v != nullptr && !v->is_bool())
    out.wrong_type(body(key), "bool_type", "Input should be a valid boolean", v);
}

enum class frame : std::uint8_t { none, image, generation };

frame check_frame(const json::object& keyframes, std::string_view key, std::string_view called,
                  problems& out) {
  const json::value* v = member(keyframes, key);
  if (v == nullptr) return frame::none;
  const auto at = [&](std::string_view field) -> std::vector<std::string> {
    if (!called.empty()) return body(called);
    return {"body", "keyframes", std::string(key), std::string(field)};
  };
  if (!v->is_object()) {
    out.wrong_type({"body", "keyframes", std::string(key)}, "model_attributes_type",
                   "Input should be an object such as {\"type\":\"image\",\"url\":\"https://…\"}", v);
    return frame::none;
  }
  const json::object& o = v->get_object();
  const std::string_view type = text_of(o, "type");
  if (type == "image") {
    const json::value* url = want_string(o, "url", at("url"), out);
    if (member(o, "url") == nullptr) {
      out.wrong_type(at("url"), "missing", "Field required", nullptr);
    } else if (url != nullptr && !is_web_url(view(url->get_string()))) {
      out.broken_rule(at("url"), "url_parsing",
                      "Input should be an http or https URL of at most 2048 characters", url);
    }
    return frame::image;
  }
  if (type == "generation") {
    const json::value* id = want_string(o, "id", at("id"), out);
    if (member(o, "id") == nullptr) {
      out.wrong_type(at("id"), "missing", "Field required", nullptr);
    } else if (id != nullptr && !is_uuid(view(id->get_string()))) {
      out.broken_rule(at("id"), "uuid_parsing", "Input should be the id of a generation", id);
    }
    return frame::generation;
  }
  out.wrong_type(at("type"), type.empty() ? "union_tag_not_found" : "union_tag_invalid",
                 "Input should be 'image' or 'generation'", member(o, "type"));
  return frame::none;
}

// The combinations of frames that cannot loop, in the official words.
std::string_view loop_problem(frame first, frame last) {
  if (first == frame::none && last == frame::image) return "Loop is not supported for end frame";
  if (first == frame::image && last == frame::image) return "Loop is not supported for keyframes";
  if (first == frame::none && last == frame::generation) return "Loop is not supported for extend reverse";
  if (first == frame::generation && last == frame::image)
    return "Loop is not supported for interpolate video to image";
  if (first == frame::image && last == frame::generation)
    return "Loop is not supported for interpolate image to video";
  if (first == frame::generation && last == frame::generation) {
    return "Loop is not supported for interpolate between two videos";
  }
  return {};
}

// The shortest length is a rule for videos only.
void check_prompt(const json::object& request, bool has_image, std::size_t shortest, const field_names& names,
                  problems& out) {
  const auto loc = body(names.prompt);
  const json::value* v = want_string(request, "prompt", loc, out);
  if (v == nullptr && member(request, "prompt") != nullptr) return;
  const std::string_view text = v != nullptr ? view(v->get_string()) : std::string_view{};
  const std::size_t length = code_points(text);
  if (length == 0) {
    if (!has_image) out.broken_rule(loc, "missing", "Prompt is required", v);
  } else if (length < shortest) {
    out.broken_rule(loc, "string_too_short", "Prompt is too short, minimum length is 3 characters", v);
  } else if (length > max_prompt) {
    out.broken_rule(loc, "string_too_long", "Prompt is too long, maximum length is 5000 characters", v);
  }
}

void check_common(const json::object& request, problems& out) {
  for (const std::string_view key : {"model", "generation_type"}) want_string(request, key, body(key), out);
  if (const json::value* v = want_string(request, "aspect_ratio", body("aspect_ratio"), out);
      v != nullptr && std::ranges::find(aspect_ratios, view(v->get_string())) == aspect_ratios.end()) {
    out.wrong_type(body("aspect_ratio"), "enum", "Input should be " + list(aspect_ratios), v);
  }
}

void check_video(const json::object& request, const field_names& names, problems& out) {
  for (const std::string_view key : {"resolution", "duration"}) want_string(request, key, body(key), out);
  want_bool(request, "loop", out);
  frame first = frame::none;
  frame last = frame::none;
  if (const json::value* v = member(request, "keyframes"); v != nullptr) {
    if (!v->is_object()) {
      out.wrong_type(body("keyframes"), "model_attributes_type",
                     "Input should be an object with frame0, frame1 or both", v);
    } else {
      const json::object& keyframes = v->get_object();
      first = check_frame(keyframes, "frame0", names.frame0_url, out);
      last = check_frame(keyframes, "frame1", names.frame1_url, out);
      if (keyframes.empty()) out.broken_rule(body("keyframes"), "missing", "No keyframes provided", v);
    }
  }
  check_prompt(request, first == frame::image || last == frame::image, min_prompt, names, out);
  const json::value* loop = member(request, "loop");
  if (loop != nullptr && loop->is_bool() && loop->get_bool()) {
    if (const auto problem = loop_problem(first, last); !problem.empty()) {
      out.broken_rule(body("loop"), "value_error", std::string(problem), loop);
    }
  }
  if (const json::value* concepts = member(request, "concepts"); concepts != nullptr) {
    if (!concepts->is_array()) {
      out.wrong_type(body("concepts"), "list_type",
                     "Input should be a list such as [{\"key\":\"orbit_left\"}]", concepts);
    } else {
      std::size_t i = 0;
      for (const json::value& c : concepts->get_array()) {
        const json::value* key = member(c, "key");
        if (key == nullptr || !key->is_string()) {
          out.wrong_type({"body", "concepts", std::to_string(i), "key"},
                         key == nullptr ? "missing" : "string_type",
                         key == nullptr ? "Field required" : "Input should be a valid string", &c);
        }
        ++i;
      }
    }
  }
}

void check_image(const json::object& request, const field_names& names, problems& out) {
  want_bool(request, "sync", out);
  want_string(request, "format", body("format"), out);
  bool has_image = false;
  for (const std::string_view key : {"image_ref", "style_ref"}) {
    const json::value* v = member(request, key);
    if (v == nullptr) continue;
    has_image = true;
    if (!v->is_array())
      out.wrong_type(body(key), "list_type", "Input should be a list of {\"url\", \"weight\"}", v);
  }
  for (const std::string_view key : {"character_ref", "modify_image_ref"}) {
    const json::value* v = member(request, key);
    if (v == nullptr) continue;
    has_image = true;
    if (!v->is_object()) out.wrong_type(body(key), "model_attributes_type", "Input should be an object", v);
  }
  check_prompt(request, has_image, 1, names, out);
}

}  // namespace

void problems::wrong_type(std::vector<std::string> loc, std::string type, std::string msg,
                          const json::value* input) {
  if (shape_.size() < most_reported)
    shape_.push_back({std::move(type), std::move(loc), std::move(msg), shown(input)});
}

void problems::broken_rule(std::vector<std::string> loc, std::string type, std::string msg,
                           const json::value* input) {
  if (rule_.size() < most_reported)
    rule_.push_back({std::move(type), std::move(loc), std::move(msg), shown(input)});
}

error problems::to_error() && {
  error e;
  e.code = shape_.empty() ? errc::invalid_request : errc::invalid_fields;
  e.violations = shape_.empty() ? std::move(rule_) : std::move(shape_);
  for (const violation& v : e.violations) {
    if (!e.message.text.empty()) e.message.text += "; ";
    for (std::size_t i = 1; i < v.loc.size(); ++i) e.message.text += (i > 1 ? "." : "") + v.loc[i];
    if (v.loc.size() > 1) e.message.text += ": ";
    e.message.text += v.msg;
  }
  // What the client sent is the client's: the log gets the same words, and no input.
  e.log.text = e.message.text;
  return e;
}

void validate(endpoint asked_at, const json::object& request, const field_names& names, problems& out) {
  check_common(request, out);
  if (asked_at == endpoint::image) {
    check_image(request, names, out);
  } else {
    check_video(request, names, out);
  }
}

std::vector<std::string> references(const json::object& request) {
  std::vector<std::string> ids;
  const json::value* keyframes = member(request, "keyframes");
  if (keyframes == nullptr || !keyframes->is_object()) return ids;
  for (const std::string_view key : {"frame0", "frame1"}) {
    const json::value* frame = member(keyframes->get_object(), key);
    if (frame == nullptr || !frame->is_object()) continue;
    if (text_of(frame->get_object(), "type") != "generation") continue;
    ids.push_back(normalise_id(text_of(frame->get_object(), "id")));
  }
  return ids;
}

}  // namespace relay
