// The web app's dialect as stations serve it under /luma: `user_prompt`, `image_url`, `image_end_url`; empty
// strings mean "not there". The official body is accepted too.

#include <algorithm>

#include "common/luma/dialect.hpp"
#include "common/luma/validation.hpp"
#include "common/luma/view.hpp"

namespace relay {
namespace {

json::value take(json::object& o, const char* key) {
  json::value* found = o.if_contains(key);
  if (found == nullptr) return nullptr;
  json::value out = std::move(*found);
  o.stable_erase(o.find(key));
  return out;
}

bool is_empty_text(const json::value& v) {
  return v.is_string() && v.get_string().empty();
}

// Puts an image URL into keyframes.<frame>, as the official API wants it.
bool put_frame(json::object& request, const char* frame, const char* field, problems& wrong) {
  json::value url = take(request, field);
  if (url.is_null()) return false;
  if (!url.is_string()) {
    wrong.wrong_type({"body", field}, "string_type", "Input should be a valid string", &url);
    return false;
  }
  if (view(url.get_string()).starts_with("data:")) {
    wrong.broken_rule({"body", field}, "url_scheme",
                      "Input should be a public http or https URL; the Luma API takes no base64 images",
                      nullptr);
    return false;
  }
  json::value& keyframes = request["keyframes"];
  if (!keyframes.is_object()) keyframes = json::object{};
  keyframes.get_object()[frame] = {{"type", "image"}, {"url", std::move(url)}};
  return true;
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

result<new_task> parse_create(const json::value& body, endpoint asked_at) {
  problems wrong;
  if (!body.is_object()) {
    wrong.wrong_type({"body"}, "model_attributes_type", "Input should be a JSON object", &body);
    return std::unexpected(std::move(wrong).to_error());
  }
  new_task out;
  json::object& request = out.request;
  for (const auto& m : body.get_object()) {
    if (!m.value().is_null() && !is_empty_text(m.value())) request.emplace(m.key(), m.value());
  }

  field_names names;
  if (json::value prompt = take(request, "user_prompt"); !prompt.is_null()) {
    names.prompt = "user_prompt";
    request["prompt"] = std::move(prompt);
  } else if (!request.contains("prompt") && body.get_object().contains("user_prompt")) {
    names.prompt = "user_prompt";
  }
  if (put_frame(request, "frame0", "image_url", wrong)) names.frame0_url = "image_url";
  if (put_frame(request, "frame1", "image_end_url", wrong)) names.frame1_url = "image_end_url";
  // One front end (moyin-creator) puts its images and options elsewhere.
  if (const json::value* image = member(request, "image"); image != nullptr && image->is_string()) {
    if (put_frame(request, "frame0", "image", wrong)) names.frame0_url = "image";
  }
  if (json::value metadata = take(request, "metadata"); metadata.is_object()) {
    for (const auto& m : metadata.get_object()) {
      const bool fits = !m.value().is_null() && !is_empty_text(m.value());
      const json::string_view key = m.key() == "image_end" ? json::string_view("image_end_url") : m.key();
      if (fits && !request.contains(key)) request.emplace(key, m.value());
    }
    if (put_frame(request, "frame1", "image_end_url", wrong)) names.frame1_url = "image_end_url";
  }
  if (json::value model = take(request, "model_name"); !model.is_null() && !request.contains("model")) {
    request["model"] = std::move(model);
  }
  if (const json::value* d = member(request, "duration"); d != nullptr) {
    if (d->is_int64())
      request["duration"] = std::to_string(d->get_int64()) + "s";
    else if (d->is_string() && all_digits(view(d->get_string())))
      request["duration"] = std::string(view(d->get_string())) + "s";
  }
  for (const char* field : {"notify_hook", "callback_url"}) {
    const json::value url = take(request, field);
    if (url.is_null()) continue;
    if (!url.is_string()) {
      wrong.wrong_type({"body", field}, "string_type", "Input should be a valid string", &url);
    } else if (url.get_string().size() > max_callback_url) {
      wrong.broken_rule({"body", field}, "string_too_long", "Input should have at most 2048 characters",
                        &url);
    } else {
      out.callback_url = std::string(view(url.get_string()));
    }
  }
  validate(asked_at, request, names, wrong);
  if (!wrong.none()) return std::unexpected(std::move(wrong).to_error());
  out.references = references(request);
  return out;
}

json::object render_luma(const task& t, timestamp) {
  const task_view v(t);
  json::object out = shared::web_app_object(v, precision::milliseconds);
  json::value& request = out["request"] = v.request;
  if (request.at("prompt").is_null()) request.get_object()["prompt"] = "";  // text in this dialect
  out["artifact"] = v.artifact;
  out["assets"] = v.assets;
  // Where some of the stations' clients look for the link.
  const json::object* video = v.video.if_object();
  out["video_url"] = video != nullptr ? video->at("download_url") : json::value(nullptr);
  return out;
}

}  // namespace

const dialect dialects::luma = {dialect_id::luma, parse_create, render_luma, render_luma};

}  // namespace relay
