#pragma once

// Members that more than one form has.

#include "common/luma/view.hpp"

namespace relay::luma {

/// The fields that the web app's object always has, in its order.
json::object web_app_fields(const task_view& v, precision created_at);

json::value text_or_null(std::string_view text);
/// The reason of a failed task, else null.
json::value failure_of(const task& t);

}  // namespace relay::luma
