#include "tests/simulator/job.hpp"

namespace relay::sim {
namespace {

json::value member_or(const json::object& o, std::string_view key, json::value otherwise) {
  const json::value* v = member(o, key);
  return v != nullptr ? *v : otherwise;
}

// The query says when the address ends, as presigned ones do.
std::string file(const job& j, timestamp now, const std::string& assets, const char* name) {
  std::string out = assets + "/assets/" + j.id + "/" + name;
  if (j.padding > 0) out += "?pad=" + std::string(j.padding, 'p');
  if (j.links_for.count() == 0) return out;
  std::string date = to_iso(now, precision::milliseconds).substr(0, 19) + "Z";
  std::erase(date, '-');
  std::erase(date, ':');
  return out + (j.padding > 0 ? "&" : "?") + "X-Amz-Date=" + date +
         "&X-Amz-Expires=" + std::to_string(j.completed_seen > 1 ? 3'600 : j.links_for.count()) +
         "&X-Amz-Signature=" + std::to_string(j.completed_seen);
}

json::value callback_of(const job& j) {
  return j.callback_url.empty() ? json::value(nullptr) : json::value(json::string(j.callback_url));
}

json::object echo(const job& j) {
  return {{"generation_type", json::string(j.kind)},
          {"prompt", member_or(j.request, "prompt", nullptr)},
          {"aspect_ratio", member_or(j.request, "aspect_ratio", "16:9")},
          {"loop", member_or(j.request, "loop", false)},
          {"keyframes", member_or(j.request, "keyframes", nullptr)},
          {"callback_url", callback_of(j)},
          {"model", member_or(j.request, "model", nullptr)},
          {"resolution", member_or(j.request, "resolution", nullptr)},
          {"duration", member_or(j.request, "duration", nullptr)},
          {"concepts", member_or(j.request, "concepts", nullptr)}};
}

json::object derived_echo(const job& j) {
  json::object out{{"generation_type", json::string(j.builds_on)}, {"callback_url", callback_of(j)}};
  const auto show = [&](std::initializer_list<const char*> fields) {
    for (const char* field : fields) out[field] = member_or(j.request, field, nullptr);
  };
  if (j.builds_on == "upscale_video")
    show({"resolution"});
  else if (j.builds_on == "add_audio")
    show({"prompt", "negative_prompt"});
  else if (j.builds_on == "modify_video")
    show({"model", "prompt", "media", "mode", "first_frame"});
  else
    show({"model", "prompt", "media", "aspect_ratio", "first_frame", "format", "grid_position_x",
          "grid_position_y", "x_start", "x_end", "y_start", "y_end", "resized_width", "resized_height"});
  return out;
}

}  // namespace

phase job::at(timestamp now) const {
  const phase last = failure_reason.empty() ? phase::completed : phase::failed;
  if (by_polls) return polls < 1 ? phase::queued : polls < 2 ? phase::dreaming : last;
  if (now < created_at + queued_for) return phase::queued;
  if (now < created_at + queued_for + dreams_for) return phase::dreaming;
  return last;
}

json::object render_official(const job& j, timestamp now, const std::string& assets) {
  static constexpr const char* words[] = {"queued", "dreaming", "completed", "failed"};
  const phase p = j.at(now);
  json::object request = j.builds_on.empty() ? echo(j) : derived_echo(j);
  json::value files = nullptr;
  if (p == phase::completed) {
    files = json::object{
        {"video", j.kind == "video" ? json::value(json::string(file(j, now, assets, "video.mp4")))
                                    : json::value(nullptr)},
        {"image", json::string(file(j, now, assets, "thumb.jpg"))},
        {"progress_video", nullptr}};
  }
  return {{"id", json::string(j.id)},
          {"generation_type", json::string(j.kind)},
          {"state", words[static_cast<int>(p)]},
          {"failure_reason",
           p == phase::failed ? json::value(json::string(j.failure_reason)) : json::value(nullptr)},
          {"created_at", json::string(to_iso(j.created_at, precision::microseconds))},
          {"assets", std::move(files)},
          {"model", member_or(j.request, "model", nullptr)},
          {"request", std::move(request)}};
}

json::object render_agents(const job& j, timestamp now, const std::string& assets) {
  static constexpr const char* words[] = {"queued", "processing", "completed", "failed"};
  const phase p = j.at(now);
  const bool failed = p == phase::failed;
  json::array output;
  if (p == phase::completed)
    output.push_back(json::object{
        {"type", json::string(j.kind)},
        {"url", json::string(file(j, now, assets, j.kind == "image" ? "image.jpg" : "video.mp4"))}});
  return {{"id", json::string(j.id)},
          {"created_at", json::string(to_iso(j.created_at, precision::microseconds))},
          {"model", member_or(j.request, "model", nullptr)},
          {"type", member_or(j.request, "type", nullptr)},
          {"state", words[static_cast<int>(p)]},
          {"failure_code",
           failed ? json::value(j.failure_reason == "Job failed" ? "generation_failed" : "content_moderated")
                  : json::value(nullptr)},
          {"failure_reason", failed ? json::value(json::string(j.failure_reason)) : json::value(nullptr)},
          {"output", std::move(output)}};
}

json::object render_web_app(const job& j, timestamp now, const std::string& assets) {
  static constexpr const char* words[] = {"pending", "processing", "completed", "failed"};
  const phase p = j.at(now);
  const auto picture = [&](const char* name) -> json::value {
    if (p != phase::completed) return nullptr;
    return json::object{{"url", json::string(file(j, now, assets, name))}, {"width", 1360}, {"height", 752}};
  };
  json::value video = picture("watermarked.mp4");
  if (json::object* v = video.if_object()) (*v)["download_url"] = file(j, now, assets, "video.mp4");
  return {{"id", json::string(j.id)},
          {"liked", nullptr},
          {"state", words[static_cast<int>(p)]},
          {"video", std::move(video)},
          {"prompt", member_or(j.request, "user_prompt", "")},
          {"thumbnail", picture("thumb.jpg")},
          {"video_raw", picture("video.mp4")},
          {"created_at", json::string(to_iso(j.created_at, precision::milliseconds))},
          {"last_frame", picture("last_frame.jpg")},
          {"failure_reason",
           p == phase::failed ? json::value(json::string(j.failure_reason)) : json::value(nullptr)},
          {"queue_state", nullptr},
          {"estimate_wait_seconds", nullptr}};
}

}  // namespace relay::sim
