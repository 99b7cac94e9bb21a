#pragma once

// What the responses to the operator's commands have in common.

#include <string_view>

#include "common/base/json.hpp"
#include "common/base/time.hpp"

namespace relay {

inline json::object failure(std::string_view message) {
  return {{"ok", false}, {"message", json::string(message)}};
}

inline json::value time_or_null(timestamp t) {
  return is_set(t) ? json::value(json::string(to_iso(t, precision::milliseconds))) : json::value(nullptr);
}

}  // namespace relay
