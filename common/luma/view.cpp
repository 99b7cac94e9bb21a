#include "common/luma/view.hpp"

#include <algorithm>
#include <charconv>

namespace relay {
namespace {

void set_default(json::object& o, json::string_view key, json::value value) {
  if (!o.contains(key)) o.emplace(key, std::move(value));
}

// The official API echoes optional members as explicit nulls and fills in its defaults.
json::object echo(const task& t) {
  json::object request;
  if (auto parsed = parse_lenient(t.request); parsed && parsed->is_object()) {
    request = std::move(parsed->get_object());
  }
  set_default(request, "generation_type", json::value(json::string(info(t.asked_at).generation_type)));
  set_default(request, "prompt", nullptr);
  if (t.asked_at == endpoint::image) {
    for (const char* key : {"format", "image_ref", "style_ref", "character_ref", "modify_image_ref"}) {
      set_default(request, key, nullptr);
    }
  } else {
    set_default(request, "loop", false);
    for (const char* key : {"keyframes", "resolution", "duration", "concepts"})
      set_default(request, key, nullptr);
  }
  set_default(request, "aspect_ratio", "16:9");
  set_default(request, "model", nullptr);
  request["callback_url"] =
      t.callback_url.empty() ? json::value(nullptr) : json::value(json::string(t.callback_url));
  return request;
}

json::value copy_of(const json::object& from, std::string_view key) {
  const json::value* found = member(from, key);
  return found != nullptr ? *found : json::value(nullptr);
}

// A top-level member, or the one of the same name inside `artifact`.
json::value object_at(const json::object& said, std::string_view key) {
  if (const json::value* found = member(said, key); found != nullptr && found->is_object()) return *found;
  if (const json::value* artifact = member(said, "artifact"); artifact != nullptr && artifact->is_object()) {
    if (const json::value* found = member(artifact->get_object(), key);
        found != nullptr && found->is_object()) {
      return *found;
    }
  }
  return nullptr;
}

json::value picture(std::string_view url, frame_size size) {
  if (url.empty()) return nullptr;
  return json::object{{"url", json::string(url)}, {"width", size.width}, {"height", size.height}};
}

std::string_view url_of(const json::value& picture) {
  const json::object* o = picture.if_object();
  return o != nullptr ? text_of(*o, "url") : std::string_view{};
}

}  // namespace

task_view::task_view(const task& t) : of(t), request(echo(t)) {
  if (!t.reply.empty()) {
    if (auto j = parse_job_text(t.reply)) said = std::move(j->body);
  }
  prompt = text_of(request, "prompt");

  // While it runs, a video may already have a preview; nothing else is promised.
  if (const json::value* sent = member(said, "assets"); sent != nullptr && sent->is_object()) {
    const bool any =
        std::ranges::any_of(sent->get_object(), [](const auto& m) { return !m.value().is_null(); });
    const bool shown = t.state == task_state::completed ||
                       (t.state == task_state::dreaming && t.asked_at != endpoint::image);
    if (any && shown) assets = *sent;
  }
  if (t.state != task_state::completed) return;

  const frame_size size = nominal_size(text_of(request, "aspect_ratio"), text_of(request, "resolution"));
  video = object_at(said, "video");
  video_raw = object_at(said, "video_raw");
  thumbnail = object_at(said, "thumbnail");
  last_frame = object_at(said, "last_frame");
  artifact = copy_of(said, "artifact");

  std::string raw_url(url_of(video_raw));
  std::string image_url(url_of(thumbnail));
  if (const json::object* official = assets.if_object()) {
    if (raw_url.empty()) raw_url = text_of(*official, "video");
    if (image_url.empty()) image_url = text_of(*official, "image");
  }
  if (json::object* v = video.if_object()) {
    if (raw_url.empty()) raw_url = first_text(*v, {"download_url", "url"});
    if (text_of(*v, "url").empty() && !raw_url.empty()) (*v)["url"] = raw_url;
    if (text_of(*v, "download_url").empty()) (*v)["download_url"] = json::string(raw_url);
    set_default(*v, "width", size.width);
    set_default(*v, "height", size.height);
  } else if (!raw_url.empty()) {
    video = picture(raw_url, size);
    video.get_object()["download_url"] = raw_url;
  } else if (const auto link = first_text(said, {"video_url"}); !link.empty()) {
    raw_url = link;
    video = picture(raw_url, size);
    video.get_object()["download_url"] = raw_url;
  }
  if (video_raw.is_null()) video_raw = picture(raw_url, size);
  if (thumbnail.is_null()) thumbnail = picture(image_url, size);
  if (!raw_url.empty() || !image_url.empty()) {
    json::object& files = assets.is_object() ? assets.get_object() : assets.emplace_object();
    const auto fill = [&files](const char* key, const std::string& url) {
      if (member(files, key) == nullptr)
        files[key] = url.empty() ? json::value(nullptr) : json::value(json::string(url));
    };
    fill("video", raw_url);
    fill("image", image_url);
    fill("progress_video", {});
  }
  if (artifact.is_null()) {
    artifact = json::object{{"video", video},
                            {"thumbnail", thumbnail},
                            {"video_raw", video_raw},
                            {"created_at", json::string(to_iso(t.created_at, precision::milliseconds))},
                            {"last_frame", last_frame}};
  }
}

int progress_of(const task& t, timestamp now) {
  switch (t.state) {
    case task_state::pending:
    case task_state::submitting:
      return 0;
    case task_state::queued:
      return 10;
    case task_state::completed:
    case task_state::failed:
      return 100;
    case task_state::dreaming:
      break;
  }
  if (t.progress >= 0) return std::min(t.progress, 99);
  // A job takes one to two minutes; nobody should read 90% for long, nor see it go back.
  const auto passed = std::chrono::duration<double>(now - t.started_at).count();
  return std::clamp(20 + static_cast<int>(passed * 70.0 / 120.0), 20, 90);
}

frame_size nominal_size(std::string_view aspect_ratio, std::string_view resolution) {
  int short_side = 720;
  if (resolution == "4k") {
    short_side = 2160;
  } else if (resolution.ends_with('p')) {
    int value = 0;
    const auto [end, ec] =
        std::from_chars(resolution.data(), resolution.data() + resolution.size() - 1, value);
    if (ec == std::errc{} && end == resolution.data() + resolution.size() - 1 && value >= 100 &&
        value <= 4320) {
      short_side = value;
    }
  }
  int w = 16;
  int h = 9;
  if (const auto colon = aspect_ratio.find(':'); colon != std::string_view::npos) {
    int a = 0;
    int b = 0;
    const char* middle = aspect_ratio.data() + colon;
    const char* last = aspect_ratio.data() + aspect_ratio.size();
    const bool fine = std::from_chars(aspect_ratio.data(), middle, a).ptr == middle &&
                      std::from_chars(middle + 1, last, b).ptr == last;
    if (fine && a > 0 && b > 0 && a <= 64 && b <= 64) {
      w = a;
      h = b;
    }
  }
  const auto other = [&](int longer, int shorter) { return (short_side * longer / shorter + 1) / 2 * 2; };
  if (w >= h) return {other(w, h), short_side};
  return {short_side, other(h, w)};
}

}  // namespace relay
