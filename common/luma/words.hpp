#pragma once

// The words for a task's state in each dialect.

#include <string_view>

#include "common/engine/task.hpp"

namespace relay::luma {

/// queued, dreaming, completed, failed.
std::string_view official_state(task_state s);
/// pending, processing, completed, failed: the web app's.
std::string_view web_app_state(task_state s);
/// SUBMITTED, QUEUED, IN_PROGRESS, SUCCESS, FAILURE: the envelope's `status`.
std::string_view envelope_status(task_state s);

}  // namespace relay::luma
