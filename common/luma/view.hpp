#pragma once

// What a client may see of a task, computed once and shared by every dialect: the echo of the request, and
// the media objects in both the official and the web-app form, whichever of the two the upstream sent.

#include "common/engine/job.hpp"
#include "common/engine/task.hpp"

namespace relay {

struct task_view {
  explicit task_view(const task& t);

  const task& of;
  json::object request;  // the official echo: what was asked, absent optional fields as null
  json::object said;     // the upstream's job object, empty when it has said nothing yet

  std::string_view prompt;
  json::value assets;  // object or null

  // Web-app objects; null until the job is completed.
  json::value video, video_raw, thumbnail, last_frame, artifact;
};

/// 0 to 100: the upstream's own figure, else by the state and the time that has passed (20 to 90 while
/// dreaming).
int progress_of(const task& t, timestamp now);

/// The frame size the request implies: aspect ratio at the named resolution (720p when absent). The official
/// API does not report sizes, the web-app shape has them.
struct frame_size {
  int width = 0;
  int height = 0;
};
frame_size nominal_size(std::string_view aspect_ratio, std::string_view resolution);

}  // namespace relay
