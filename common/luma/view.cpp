#include "common/luma/view.hpp"

#include <algorithm>

#include "common/luma/actions.hpp"
#include "common/luma/reply.hpp"

namespace relay::luma {
namespace {

void set_default(json::object& o, json::string_view key, json::value value) {
  if (!o.contains(key)) o.emplace(key, std::move(value));
}

json::value default_of(echo_field::otherwise value) {
  switch (value) {
    case echo_field::otherwise::no:
      return false;
    case echo_field::otherwise::wide:
      return "16:9";
    case echo_field::otherwise::null:
      break;
  }
  return nullptr;
}

// The official API echoes optional members as explicit nulls and fills in its defaults.
json::object echo(const task& t) {
  const action& a = row_of(t);
  json::object request;
  if (auto parsed = parse_lenient(t.request); parsed && parsed->is_object()) {
    request = std::move(parsed->get_object());
  }
  if (reference_at(request, {}) != nullptr && a.path.contains("{id}"))
    request.stable_erase(request.find("id"));  // it came in the path
  set_default(request, "generation_type", json::value(json::string(a.request_type)));
  for (const echo_field& f : a.echo) set_default(request, f.name, default_of(f.value));
  request["callback_url"] =
      t.callback_url.empty() ? json::value(nullptr) : json::value(json::string(t.callback_url));
  return request;
}

// While it runs, a video may already have a preview; nothing else is promised.
json::value assets_of(const task& t, const json::object& reported) {
  const json::value* sent = member(reported, "assets");
  if (sent == nullptr || !sent->is_object()) return nullptr;
  const bool any =
      std::ranges::any_of(sent->get_object(), [](const auto& m) { return !m.value().is_null(); });
  const bool shown =
      t.state == task_state::completed || (t.state == task_state::running && row_of(t).previews);
  return any && shown ? *sent : json::value(nullptr);
}

}  // namespace

task_view::task_view(const task& t) : of(t), request(echo(t)) {
  if (!t.reply.empty()) {
    if (auto reply = parse_reply(t.reply)) reported = std::move(reply->body);
  }
  prompt = text_of(request, "prompt");
  media.assets = assets_of(t, reported);
  if (t.state != task_state::completed) return;
  const frame_size size = nominal_size(text_of(request, "aspect_ratio"), text_of(request, "resolution"));
  complete(media, reported, size);
  if (media.artifact.is_null()) {
    media.artifact = json::object{{"video", media.video},
                                  {"thumbnail", media.thumbnail},
                                  {"video_raw", media.video_raw},
                                  {"created_at", json::string(to_iso(t.created_at, precision::milliseconds))},
                                  {"last_frame", media.last_frame}};
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
    case task_state::running:
      break;
  }
  if (t.progress >= 0) return std::min(t.progress, 99);
  // A job takes one to two minutes; the figure must not stay at 90% for long, nor go back.
  const auto passed = std::chrono::duration<double>(now - t.started_at).count();
  return std::clamp(20 + static_cast<int>(passed * 70.0 / 120.0), 20, 90);
}

}  // namespace relay::luma
