#include "common/luma/web_app_fields.hpp"

#include "common/luma/dialects.hpp"
#include "common/luma/words.hpp"

namespace relay::luma {

json::value text_or_null(std::string_view text) {
  if (text.empty()) return nullptr;
  return json::string(text);
}

json::value failure_of(const task& t) {
  return text_or_null(t.state == task_state::failed ? t.fail_reason : "");
}

json::object web_app_fields(const task_view& v, precision created_at) {
  const auto reported = [&v](std::string_view key) {
    const json::value* found = member(v.reported, key);
    return found != nullptr ? *found : json::value(nullptr);
  };
  return {{"id", json::string(v.of.id)},
          {"liked", reported("liked")},
          {"state", json::string(web_app_state(v.of.state))},
          {"video", v.media.video},
          {"prompt", json::string(v.prompt)},
          {"thumbnail", v.media.thumbnail},
          {"video_raw", v.media.video_raw},
          {"created_at", json::string(to_iso(v.of.created_at, created_at))},
          {"last_frame", v.media.last_frame},
          {"queue_state", reported("queue_state")},
          {"estimate_wait_seconds", reported("estimate_wait_seconds")},
          {"failure_reason", failure_of(v.of)}};
}

bool never_by_time(const task&) {
  return false;
}

}  // namespace relay::luma
