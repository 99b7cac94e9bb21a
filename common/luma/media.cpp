#include "common/luma/media.hpp"

#include <charconv>
#include <string>

namespace relay::luma {
namespace {

// "720p", "4k"; 720 for anything else.
int short_side_of(std::string_view resolution) {
  if (resolution == "4k") return 2160;
  constexpr int usual = 720;
  if (!resolution.ends_with('p')) return usual;
  const char* end_of_digits = resolution.data() + resolution.size() - 1;
  int value = 0;
  const auto [end, ec] = std::from_chars(resolution.data(), end_of_digits, value);
  return ec == std::errc{} && end == end_of_digits && value >= 100 && value <= 4320 ? value : usual;
}

void set_default(json::object& o, json::string_view key, json::value_ref value) {
  if (!o.contains(key)) o.emplace(key, value);
}

// A top-level member, or the one of the same name inside `artifact`.
void copy_object_at(const json::object& reported, std::string_view key, json::value& into) {
  const json::value* found = member(reported, key);
  if (found == nullptr || !found->is_object()) {
    const json::value* artifact = member(reported, "artifact");
    found = artifact != nullptr ? member(*artifact, key) : nullptr;
  }
  if (found != nullptr && found->is_object()) into = *found;
}

void make_picture(json::value& into, std::string_view url, frame_size size) {
  if (url.empty()) return;
  json::object& o = into.emplace_object();
  o.emplace("url", json::string_view(url.data(), url.size()));
  o.emplace("width", size.width);
  o.emplace("height", size.height);
}

void set(json::object& o, json::string_view key, std::string_view text) {
  o[key].emplace_string().assign(text.data(), text.size());
}

std::string_view url_of(const json::value& picture) {
  const json::object* o = picture.if_object();
  return o != nullptr ? text_of(*o, "url") : std::string_view{};
}

// Every member that the web app's object has; what the upstream says of it stays.
void fill_picture(json::value& v, const expected_media& expected) {
  json::object& o = v.is_object() ? v.get_object() : v.emplace_object();
  set_default(o, "url", nullptr);
  set_default(o, "width", expected.size.width);
  set_default(o, "height", expected.size.height);
  set_default(o, "palette", nullptr);
  set_default(o, "media_type", "image");
}
void fill_video(json::value& v, const expected_media& expected) {
  json::object& o = v.is_object() ? v.get_object() : v.emplace_object();
  set_default(o, "url", nullptr);
  set_default(o, "width", expected.size.width);
  set_default(o, "height", expected.size.height);
  if (expected.seconds)
    set_default(o, "duration", *expected.seconds);
  else
    set_default(o, "duration", nullptr);
  set_default(o, "media_type", "video");
}

// What the upstream's own lacks.
void fill_artifact(media_objects& m, const expected_media& expected) {
  json::object* o = m.artifact.if_object();
  if (o == nullptr) return;
  const auto copy_if_absent = [o](json::string_view key, const json::value& from) {
    json::value& v = (*o)[key];
    if (v.is_null()) v = from;
  };
  copy_if_absent("video", m.video);
  copy_if_absent("thumbnail", m.thumbnail);
  copy_if_absent("video_raw", m.video_raw);
  copy_if_absent("last_frame", m.last_frame);
  fill_picture((*o)["thumbnail"], expected);
  fill_video((*o)["video_raw"], expected);
  fill_picture((*o)["last_frame"], expected);
  set_default(*o, "created_at", nullptr);
}

// The address of the first file of this type in the agents API's list.
std::string_view output_of(const json::object& reported, std::string_view type) {
  const json::value* output = member(reported, "output");
  if (output == nullptr || !output->is_array()) return {};
  for (const json::value& item : output->get_array()) {
    if (item.is_object() && text_of(item.get_object(), "type") == type)
      return text_of(item.get_object(), "url");
  }
  return {};
}

// The official object, with every member it always has.
void fill_assets(json::value& assets, const std::string& video_url, const std::string& image_url) {
  json::object& files = assets.is_object() ? assets.get_object() : assets.emplace_object();
  const auto fill = [&files](const char* key, std::string_view url) {
    if (member(files, key) != nullptr) return;
    if (url.empty())
      files[key] = nullptr;
    else
      set(files, key, url);
  };
  fill("video", video_url);
  fill("image", image_url);
  fill("progress_video", {});
}

}  // namespace

frame_size nominal_size(std::string_view aspect_ratio, std::string_view resolution) {
  const int short_side = short_side_of(resolution);
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

std::optional<std::int64_t> nominal_seconds(std::string_view duration) {
  std::int64_t out = 0;
  const auto [end, ec] = std::from_chars(duration.data(), duration.data() + duration.size(), out);
  const std::string_view unit(end, duration.data() + duration.size());
  if (ec != std::errc{} || unit != "s" || !(out > 0 && out < 3'600)) return std::nullopt;
  return out;
}

void complete(media_objects& m, const json::object& reported, const expected_media& expected) {
  const frame_size size = expected.size;
  copy_object_at(reported, "video", m.video);
  copy_object_at(reported, "video_raw", m.video_raw);
  copy_object_at(reported, "thumbnail", m.thumbnail);
  copy_object_at(reported, "last_frame", m.last_frame);
  if (const json::value* artifact = member(reported, "artifact")) m.artifact = *artifact;

  std::string raw_url(url_of(m.video_raw));
  std::string image_url(url_of(m.thumbnail));
  if (const json::object* official = m.assets.if_object()) {
    if (raw_url.empty()) raw_url = text_of(*official, "video");
    if (image_url.empty()) image_url = text_of(*official, "image");
  }
  if (raw_url.empty()) raw_url = output_of(reported, "video");
  if (image_url.empty()) image_url = output_of(reported, "image");
  if (json::object* v = m.video.if_object()) {
    if (raw_url.empty()) raw_url = first_text(*v, {"download_url", "url"});
    if (text_of(*v, "url").empty() && !raw_url.empty()) set(*v, "url", raw_url);
    if (text_of(*v, "download_url").empty()) set(*v, "download_url", raw_url);
    set_default(*v, "width", size.width);
    set_default(*v, "height", size.height);
  } else {
    if (raw_url.empty()) raw_url = text_of(reported, "video_url");
    make_picture(m.video, raw_url, size);
    if (!raw_url.empty()) set(m.video.get_object(), "download_url", raw_url);
  }
  if (m.video_raw.is_null()) make_picture(m.video_raw, raw_url, size);
  if (m.thumbnail.is_null()) make_picture(m.thumbnail, image_url, size);
  if (!raw_url.empty() || !image_url.empty()) fill_assets(m.assets, raw_url, image_url);
  if (!expected.is_video) return;
  fill_video(m.video_raw, expected);
  fill_picture(m.thumbnail, expected);
  fill_picture(m.last_frame, expected);
  fill_artifact(m, expected);
}

}  // namespace relay::luma
