#pragma once

// Members that more than one form has.

#include "common/luma/view.hpp"

namespace relay::luma {

/// What forms show of their own in the web app's fields.
struct web_app_words {
  std::string_view state;
  std::string_view created_at;
};

/// The fields that the web app's object always has, in its order.
void write_web_app_fields(json_object_writer& w, const task_view& v, const web_app_words& words);

/// The reason of a failed task, else null.
void write_failure(json_object_writer& w, const task& t);
/// What the upstream reported under this name, else null.
void write_reported(json_object_writer& w, const task_view& v, std::string_view name);

}  // namespace relay::luma
