#include "common/luma/web_app_fields.hpp"

#include "common/luma/dialects.hpp"

namespace relay::luma {

void write_failure(json_object_writer& w, const task& t) {
  if (t.state == task_state::failed && !t.fail_reason.empty())
    w.member("failure_reason", t.fail_reason);
  else
    w.member("failure_reason", nullptr);
}

void write_reported(json_object_writer& w, const task_view& v, std::string_view name) {
  const json::value* found = v.reported(name);
  if (found != nullptr)
    w.member(name, *found);
  else
    w.member(name, nullptr);
}

void write_web_app_fields(json_object_writer& w, const task_view& v, const web_app_words& words) {
  const media_objects& media = v.media();
  w.member("id", v.of().id);
  write_reported(w, v, "liked");
  w.member("state", words.state);
  w.member("video", media.video);
  w.member("prompt", v.prompt());
  w.member("thumbnail", media.thumbnail);
  w.member("video_raw", media.video_raw);
  w.member("created_at", words.created_at);
  w.member("last_frame", media.last_frame);
  write_reported(w, v, "queue_state");
  write_reported(w, v, "estimate_wait_seconds");
  write_failure(w, v.of());
}

bool never_by_time(const task&) {
  return false;
}

}  // namespace relay::luma
