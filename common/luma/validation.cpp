#include "common/luma/validation.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/base/ascii.hpp"
#include "common/base/files_in_json.hpp"
#include "common/base/id.hpp"
#include "common/base/url.hpp"
#include "common/luma/files.hpp"

namespace relay::luma {
namespace {

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

using place = std::vector<std::string>;

place in(place at, std::string_view next) {
  at.emplace_back(next);
  return at;
}

// What Luma fetches is Luma's to judge: a long address, or one that is not escaped, is passed on.
bool is_fetchable(std::string_view url) {
  const std::string start = lower(url.substr(0, 8));
  return (start.starts_with("http://") && url.size() > 7) || (start == "https://" && url.size() > 8);
}

// A number, or text that is one, as pydantic reads numbers.
std::optional<double> number_in(const json::value& v) {
  if (v.is_number()) return v.to_number<double>();
  if (!v.is_string()) return std::nullopt;
  const std::string_view text = trim(view(v.get_string()));
  double out = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (ec != std::errc{} || end != text.data() + text.size() || !std::isfinite(out)) return std::nullopt;
  return out;
}

// What pydantic makes of text and of 0 or 1 for a boolean; nullopt: it refuses it.
std::optional<bool> flag_in(const json::value& v) {
  constexpr std::string_view yes[] = {"true", "1", "yes", "on", "t", "y"};
  constexpr std::string_view no[] = {"false", "0", "no", "off", "f", "n"};
  const std::string word = v.is_string()  ? lower(view(v.get_string()))
                           : v.is_int64() ? std::to_string(v.get_int64())
                                          : std::string();
  if (std::ranges::find(yes, word) != std::end(yes)) return true;
  if (std::ranges::find(no, word) != std::end(no)) return false;
  return std::nullopt;
}

void check_url(const json::value& v, place at, problems& out) {
  if (!v.is_string())
    out.wrong_type(std::move(at), "string_type", "Input should be a valid string", &v);
  else if (!is_fetchable(view(v.get_string())) && !may_be_file(view(v.get_string())))
    out.broken_rule(std::move(at), "url_parsing", "Input should be an http or https URL, or a file as base64",
                    &v);
}

// {"url"}, and with `weighted` a weight from 0 to 1.
void check_file(const json::value& v, const place& at, bool weighted, problems& out) {
  if (!v.is_object()) {
    out.wrong_type(at, "model_attributes_type",
                   weighted ? R"(Input should be an object such as {"url":"https://…","weight":0.8})"
                            : R"(Input should be an object such as {"url":"https://…"})",
                   &v);
    return;
  }
  if (const json::value* url = member(v, "url"))
    check_url(*url, in(at, "url"), out);
  else
    out.wrong_type(in(at, "url"), "missing", "Field required", nullptr);
  const json::value* weight = weighted ? member(v, "weight") : nullptr;
  if (weight == nullptr) return;
  const auto w = number_in(*weight);
  if (!w)
    out.wrong_type(in(at, "weight"), "float_type", "Input should be a valid number", weight);
  else if (!(*w >= 0 && *w <= 1))
    out.broken_rule(in(at, "weight"), "value_error", "Input should be from 0 to 1", weight);
}

void check_pictures(const json::value& v, const place& at, problems& out) {
  if (!v.is_array()) {
    out.wrong_type(at, "list_type", "Input should be a list of {\"url\", \"weight\"}", &v);
    return;
  }
  std::size_t i = 0;
  for (const json::value& item : v.get_array()) check_file(item, in(at, std::to_string(i++)), true, out);
}

void check_identities(const json::value& v, const place& at, problems& out) {
  constexpr std::string_view example =
      R"(Input should be an object such as {"identity0":{"images":["https://…"]}})";
  if (!v.is_object()) return out.wrong_type(at, "model_attributes_type", std::string(example), &v);
  for (const auto& m : v.get_object()) {
    if (m.value().is_null()) continue;
    const place here = in(at, view(m.key()));
    const json::value* images = member(m.value(), "images");
    if (images == nullptr || !images->is_array()) {
      out.wrong_type(in(here, "images"), images == nullptr ? "missing" : "list_type",
                     images == nullptr ? "Field required: a list of URLs" : "Input should be a list of URLs",
                     images);
      continue;
    }
    std::size_t i = 0;
    for (const json::value& url : images->get_array())
      check_url(url, in(in(here, "images"), std::to_string(i++)), out);
  }
}

void check_word(const json::object& request, const field_rule& rule, problems& out) {
  const json::value* v = want_string(request, rule.name, body(rule.name), out);
  if (v == nullptr || std::ranges::find(rule.words, view(v->get_string())) != rule.words.end()) return;
  out.wrong_type(body(rule.name), rule.words.size() == 1 ? "literal_error" : "enum",
                 "Input should be " + list(rule.words), v);
}

void check_field(const json::object& request, const field_rule& rule, problems& out) {
  const json::value* v = member(request, rule.name);
  if (v == nullptr) {
    if (rule.required) out.wrong_type(body(rule.name), "missing", "Field required", nullptr);
    return;
  }
  switch (rule.is) {
    case shape::text:
      want_string(request, rule.name, body(rule.name), out);
      break;
    case shape::flag:
      if (!v->is_bool()) out.wrong_type(body(rule.name), "bool_type", "Input should be a valid boolean", v);
      break;
    case shape::whole:
      if (const auto n = number_in(*v); !n || *n != std::floor(*n))
        out.wrong_type(body(rule.name), "int_type", "Input should be a valid integer", v);
      break;
    case shape::number:
      if (!number_in(*v)) out.wrong_type(body(rule.name), "float_type", "Input should be a valid number", v);
      break;
    case shape::word:
      check_word(request, rule, out);
      break;
    case shape::file:
    case shape::picture:
      check_file(*v, body(rule.name), rule.is == shape::picture, out);
      break;
    case shape::pictures:
      check_pictures(*v, body(rule.name), out);
      break;
    case shape::identities:
      check_identities(*v, body(rule.name), out);
      break;
    case shape::any:
    case shape::frames:
      break;
  }
}

// Fields that say what the job is made of, somewhere in Luma's APIs or in those of stations. Where they are
// not known they would be lost in silence, and another job submitted than the one that is meant.
constexpr std::string_view pictures[] = {
    "image",       "images",      "image_url", "image_urls", "image_end_url", "image_end",        "content",
    "first_frame", "keyframes",   "image_ref", "style_ref",  "character_ref", "modify_image_ref", "style",
    "character",   "modify_image"};

// `mode` is a word of many APIs; one of the modify endpoint's own is meant for that.
bool asks_to_modify(const json::value& mode) {
  const auto& fields = actions::video_modify.fields;
  const auto rule = std::ranges::find(fields, "mode", &field_rule::name);
  return mode.is_string() && std::ranges::find(rule->words, view(mode.get_string())) != rule->words.end();
}

// Some of these words are used for other things too; such a thing is text.
bool may_be_text(std::string_view name) {
  return name == "style" || name == "character" || name == "content";
}

bool says_something(const json::value& v) {
  if (const json::string* s = v.if_string()) return !s->empty();
  if (const json::array* a = v.if_array()) return !a->empty();
  if (const json::object* o = v.if_object()) return !o->empty();
  return !v.is_null();
}

void check_misplaced(const action& a, const json::object& request, problems& out) {
  for (const auto& m : request) {
    const std::string_view name = view(m.key());
    const json::value& v = m.value();
    if (std::ranges::find(a.fields, name, &field_rule::name) != a.fields.end() || !says_something(v))
      continue;
    std::string why;
    if (name == "media" || (name == "mode" && asks_to_modify(v)))
      why = "it belongs to the reframe and modify endpoints";
    else if (std::ranges::find(pictures, name) == std::end(pictures) || (v.is_string() && may_be_text(name)))
      continue;
    else if (a.pictures_go.empty())
      why = "this job takes no pictures";
    else
      why = "pictures go into " + std::string(a.pictures_go) + " here";
    out.wrong_type(body(name), "extra_forbidden", "Extra inputs are not permitted: " + why, &v);
  }
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
  // The tag decides which of the two forms applies, as in the official schema.
  const json::object& o = v->get_object();
  const std::string_view type = text_of(o, "type");
  if (type == "image") {
    const json::value* url = want_string(o, "url", at("url"), out);
    if (member(o, "url") == nullptr) {
      out.wrong_type(at("url"), "missing", "Field required", nullptr);
    } else if (url != nullptr && !is_web_url(view(url->get_string())) &&
               !may_be_file(view(url->get_string()))) {
      out.broken_rule(at("url"), "url_parsing",
                      "Input should be an http or https URL of at most 2048 characters, or a file as base64",
                      url);
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
  // Lengths count code points; an image can stand for the prompt.
  const std::size_t length = code_points(text);
  if (length == 0) {
    if (!has_image) out.broken_rule(loc, "missing", "Prompt is required", v);
  } else if (length < shortest) {
    out.broken_rule(loc, "string_too_short", "Prompt is too short, minimum length is 3 characters", v);
  } else if (length > max_prompt) {
    out.broken_rule(loc, "string_too_long", "Prompt is too long, maximum length is 5000 characters", v);
  }
}

void check_concepts(const json::object& request, problems& out) {
  const json::value* concepts = member(request, "concepts");
  if (concepts == nullptr) return;
  if (!concepts->is_array()) {
    out.wrong_type(body("concepts"), "list_type", "Input should be a list such as [{\"key\":\"orbit_left\"}]",
                   concepts);
    return;
  }
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

// The two keyframes, and what is wrong with them.
std::pair<frame, frame> check_keyframes(const json::object& request, const field_names& names,
                                        problems& out) {
  const json::value* v = member(request, "keyframes");
  if (v == nullptr) return {frame::none, frame::none};
  if (!v->is_object()) {
    out.wrong_type(body("keyframes"), "model_attributes_type",
                   "Input should be an object with frame0, frame1 or both", v);
    return {frame::none, frame::none};
  }
  const json::object& keyframes = v->get_object();
  const frame first = check_frame(keyframes, "frame0", names.frame0_url, out);
  const frame last = check_frame(keyframes, "frame1", names.frame1_url, out);
  if (keyframes.empty()) out.broken_rule(body("keyframes"), "missing", "No keyframes provided", v);
  return {first, last};
}

}  // namespace

void check_video(const json::object& request, const field_names& names, problems& out) {
  // The frames first: whether a prompt is required, and whether the job can loop, depends on them.
  const auto [first, last] = check_keyframes(request, names, out);
  check_prompt(request, first == frame::image || last == frame::image, min_prompt, names, out);
  const json::value* loop = member(request, "loop");
  if (loop != nullptr && loop->is_bool() && loop->get_bool()) {
    if (const auto problem = loop_problem(first, last); !problem.empty()) {
      out.broken_rule(body("loop"), "value_error", std::string(problem), loop);
    }
  }
  check_concepts(request, out);
}

void check_image(const json::object& request, const field_names& names, problems& out) {
  constexpr std::string_view references[] = {"image_ref", "style_ref", "character_ref", "modify_image_ref"};
  const bool has_image =
      std::ranges::any_of(references, [&](std::string_view key) { return member(request, key) != nullptr; });
  check_prompt(request, has_image, 1, names, out);
}

void check_media(const json::object& request, const field_names& names, problems& out) {
  check_prompt(request, true, 1, names, out);
}

void coerce(const action& a, json::object& request) {
  for (const field_rule& rule : a.fields) {
    if (rule.is != shape::flag && rule.is != shape::whole && rule.is != shape::number) continue;
    json::value* v = request.if_contains(rule.name);
    if (v == nullptr) continue;
    if (rule.is == shape::flag) {
      if (const auto flag = flag_in(*v)) *v = *flag;
    } else {
      const auto n = v->is_string() ? number_in(*v) : std::nullopt;
      if (!n) continue;
      if (*n == std::floor(*n) && std::abs(*n) < 1e15)
        *v = static_cast<std::int64_t>(*n);
      else
        *v = *n;
    }
  }
}

void validate(const action& a, const json::object& request, const field_names& names, problems& out) {
  // Field by field, then what spans several of them.
  for (const field_rule& rule : a.fields) check_field(request, rule, out);
  check_misplaced(a, request, out);
  if (a.check != nullptr) a.check(request, names, out);
  // What the relay keeps, sends on and shows again with every read: the prompt has a limit of its own, and a
  // file is kept as its address.
  std::size_t bytes = 0;
  for (const auto& m : request) {
    if (m.key() != "prompt") bytes += m.key().size() + text_size(m.value());
  }
  if (bytes > max_other_fields) bytes -= bytes_of_files(a, request);
  if (bytes > max_other_fields) {
    out.broken_rule({"body"}, "too_long",
                    "The fields beside the prompt should have at most " + std::to_string(max_other_fields) +
                        " bytes in all, not " + std::to_string(bytes),
                    nullptr);
  }
}

void take_callback_url(json::object& request, const char* field, std::string& into, problems& wrong) {
  const json::value* url = request.if_contains(field);
  if (url == nullptr) return;
  if (!url->is_string()) {
    wrong.wrong_type(body(field), "string_type", "Input should be a valid string", url);
  } else if (url->get_string().size() > max_callback_url) {
    wrong.broken_rule(body(field), "string_too_long", "Input should have at most 2048 characters", url);
  } else if (has_scheme(view(url->get_string())) && !is_web_url(view(url->get_string()))) {
    // Text without a scheme is no address, and is kept: some clients send any word.
    wrong.wrong_type(
        body(field), "url_parsing",
        "Input should be an http or https URL: a host, a port up to 65535 if any, no user name, and other "
        "characters than printable ASCII percent-encoded",
        url);
  } else {
    into = std::string(view(url->get_string()));
  }
  // It is kept beside the request: what the upstream gets is an address of the relay's.
  request.stable_erase(request.find(field));
}

}  // namespace relay::luma
