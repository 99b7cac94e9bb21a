#pragma once

// What a client may see of a task, computed once and shared by every dialect: the echo of the request, what
// the upstream reported, and the result's files.

#include "common/base/json.hpp"
#include "common/engine/task.hpp"
#include "common/luma/media.hpp"

namespace relay::luma {

struct task_view {
  explicit task_view(const task& t);

  const task& of;
  json::object request;   // the official echo: what was requested, absent optional fields as null
  json::object reported;  // the upstream's job object, empty when it has reported nothing yet
  std::string_view prompt;
  media_objects media;
};

/// 0 to 100: the upstream's own figure, else by the state and the time that has passed (20 to 90 while
/// it runs).
int progress_of(const task& t, timestamp now);

}  // namespace relay::luma
