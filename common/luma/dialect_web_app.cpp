// The web app's dialect as stations serve it under /luma: `user_prompt`, `image_url`, `image_end_url`; empty
// strings mean "not there". The official body is accepted too.

#include <algorithm>

#include "common/luma/actions.hpp"
#include "common/luma/dialects.hpp"
#include "common/luma/files.hpp"
#include "common/luma/schemas.hpp"
#include "common/luma/validation.hpp"
#include "common/luma/web_app_fields.hpp"
#include "common/luma/words.hpp"

namespace relay::luma {
namespace {

json::value take(json::object& o, const char* key) {
  json::value* found = o.if_contains(key);
  if (found == nullptr) return nullptr;
  json::value out = std::move(*found);
  o.stable_erase(o.find(key));
  return out;
}

bool is_empty(const json::value& v) {
  return v.is_null() || (v.is_string() && v.get_string().empty());
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

json::object& frame_of(json::object& request, const char* frame) {
  json::value& keyframes = request["keyframes"];
  if (!keyframes.is_object()) keyframes = json::object{};
  json::value& found = keyframes.get_object()[frame];
  return found.emplace_object();
}

// A request on its way from the web app's names to the official ones.
struct translation {
  json::object& request;
  field_names& names;
  problems& wrong;

  // Puts an image URL into keyframes.<frame>, as the official API wants it.
  bool put_frame(const char* frame, const char* field) const {
    json::value url = take(request, field);
    if (url.is_null()) return false;
    if (!url.is_string()) {
      wrong.wrong_type({"body", field}, "string_type", "Input should be a valid string", &url);
      return false;
    }
    frame_of(request, frame) = {{"type", "image"}, {"url", std::move(url)}};
    return true;
  }

  void prompt(const json::object& body) const {
    json::value sent = take(request, "user_prompt");
    if (!sent.is_null() || (!request.contains("prompt") && body.contains("user_prompt")))
      names.prompt = "user_prompt";
    if (!sent.is_null()) request["prompt"] = std::move(sent);
  }

  void frames() const {
    if (put_frame("frame0", "image_url")) names.frame0_url = "image_url";
    if (put_frame("frame1", "image_end_url")) names.frame1_url = "image_end_url";
  }

  // One front end (moyin-creator) puts its images and options elsewhere.
  void moyin_creator() const {
    if (const json::value* image = member(request, "image"); image != nullptr && image->is_string()) {
      if (put_frame("frame0", "image")) names.frame0_url = "image";
    }
    json::value metadata = take(request, "metadata");
    if (!metadata.is_object()) return;
    for (const auto& m : metadata.get_object()) {
      const json::string_view key = m.key() == "image_end" ? json::string_view("image_end_url") : m.key();
      if (!is_empty(m.value()) && !request.contains(key)) request.emplace(key, m.value());
    }
    if (put_frame("frame1", "image_end_url")) names.frame1_url = "image_end_url";
  }

  void model() const {
    json::value model = take(request, "model_name");
    if (!model.is_null() && !request.contains("model")) request["model"] = std::move(model);
  }

  // 5 and "5" are "5s".
  void duration() const {
    const json::value* d = member(request, "duration");
    if (d == nullptr) return;
    if (d->is_int64())
      request["duration"] = std::to_string(d->get_int64()) + "s";
    else if (d->is_string() && all_digits(view(d->get_string())))
      request["duration"] = std::string(view(d->get_string())) + "s";
  }
};

// The generation to extend becomes the first keyframe.
void extend(json::object& request, std::string_view subject, problems& wrong) {
  const json::value* frames = member(request, "keyframes");
  const bool begins_otherwise = frames != nullptr && member(*frames, "frame0") != nullptr;
  for (const char* field : {"image_url", "image", "keyframes"}) {
    const json::value* found = request.if_contains(field);
    const bool is_frames = field == std::string_view("keyframes");
    if (found == nullptr || (is_frames && !begins_otherwise)) continue;
    wrong.wrong_type(
        {"body", field}, "extra_forbidden",
        "Extra inputs are not permitted: an extension begins with the generation that it extends; "
        "image_end_url is the picture at its end",
        found);
    if (!is_frames) request.erase(field);
  }
  frame_of(request, "frame0") = {{"type", "generation"}, {"id", json::string(subject)}};
}

result<new_task> parse_create(const json::value& body, const relay::action& kind, std::string_view subject) {
  problems wrong;
  if (!body.is_object()) {
    wrong.wrong_type({"body"}, "model_attributes_type", "Input should be a JSON object", &body);
    return std::unexpected(std::move(wrong).to_error());
  }
  const action& a = row_of(kind);
  new_task out{.request = json::object(body.storage())};
  json::object& request = out.request;
  for (const auto& m : body.get_object()) {
    if (!is_empty(m.value())) request.emplace(m.key(), m.value());
  }
  if (!subject.empty()) extend(request, subject, wrong);

  field_names names;
  const translation into{request, names, wrong};
  into.prompt(body.get_object());
  into.frames();
  into.moyin_creator();
  into.model();
  into.duration();
  for (const char* field : {"notify_hook", "callback_url"})
    take_callback_url(request, field, out.callback_url, wrong);
  coerce(a, request);
  validate(a, request, names, wrong);
  if (!wrong.none()) return std::unexpected(std::move(wrong).to_error());
  out.references = references_in(a, request);
  out.files = files_in(a, request, names);
  return out;
}

const json::value* link_of(const task_view& v) {
  const json::object* video = v.media().video.if_object();
  return video != nullptr ? &video->at("download_url") : nullptr;
}

// The upstream's own, or one made of its parts.
void write_artifact(json_object_writer& w, const task_view& v, std::string_view created_at) {
  const media_objects& media = v.media();
  if (!media.artifact.is_null() || v.of().state != task_state::completed)
    return w.member("artifact", media.artifact);
  json_object_writer made(w.key("artifact"));
  made.member("video", media.video);
  made.member("thumbnail", media.thumbnail);
  made.member("video_raw", media.video_raw);
  made.member("created_at", created_at);
  made.member("last_frame", media.last_frame);
  made.end();
}

// `created`: the response to a create.
result<std::string> render(const task& t, bool created) {
  const task_view v(t);
  const std::string created_at = to_iso(t.created_at, precision::milliseconds);
  std::string out;
  json_object_writer w(out);
  write_web_app_fields(w, v, {web_app_state(t.state), created_at});
  // The prompt is text in this dialect, and always there.
  v.append_echo(w.key("request"), R"("")");
  write_artifact(w, v, created_at);
  w.member("assets", v.media().assets);
  // Where some of the stations' clients look: for the link, for the state, for the id.
  const auto write_link = [link = link_of(v)](json_object_writer& to) {
    if (link != nullptr)
      to.member("video_url", *link);
    else
      to.member("video_url", nullptr);
  };
  write_link(w);
  w.member("status", web_app_state(t.state));
  w.member("task_id", t.id);
  if (created) {
    json_object_writer data(w.key("data"));
    data.member("task_id", t.id);
    data.end();
  }
  json_object_writer result(w.key("result"));
  write_link(result);
  result.end();
  w.end();
  return out;
}

result<std::string> render_task(const task& t, const showing&) {
  return render(t, false);
}
result<std::string> render_created(const task& t, const showing&) {
  return render(t, true);
}

result<std::string> render_download_link(const task& t, const showing&) {
  const task_view v(t);
  const json::value* link = link_of(v);
  if (link == nullptr) {
    return fail(errc::invalid_request,
                "The video is not there: the generation is " + std::string(web_app_state(t.state)));
  }
  std::string out;
  json_object_writer w(out);
  w.member("url", *link);
  w.end();
  return out;
}

}  // namespace

const task_form forms::web_app = {"web-app", web_app_state, render_task, never_by_time, web_app_schema};
const task_form forms::web_app_created = {"web-app-created", web_app_state, render_created, never_by_time,
                                          web_app_schema};
const task_form forms::download_link = {"download-link", web_app_state, render_download_link, never_by_time,
                                        link_schema};

const dialect dialects::web_app = {.name = "luma",
                                   .parse_create = parse_create,
                                   .created = &forms::web_app_created,
                                   .shown = &forms::web_app,
                                   .frame_page = nullptr,
                                   .parse_ids = nullptr,
                                   .frame_batch = nullptr,
                                   .in_array = nullptr,
                                   .render_error = render_official_error};

}  // namespace relay::luma
