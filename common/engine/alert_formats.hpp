#pragma once

// A message about alerts in the words of the service it goes to. Pure.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"
#include "common/base/secret.hpp"
#include "common/engine/alerts.hpp"

namespace relay {

/// What is sent, by POST, as JSON.
struct alert_message {
  std::string query;  // to be appended to the address; empty: nothing
  std::string body;
};

struct alert_format {
  std::string_view name;  // in the configuration
  /// `relay`: which one it comes from. `sign_with`: empty: it is not signed.
  alert_message (*make)(const std::vector<alert>& what, std::string_view relay, const secret& sign_with,
                        timestamp now);
  /// What a response with status 200 says; empty: it was taken.
  std::string (*refusal)(std::string_view body);
};

/// generic, slack, wecom, feishu, dingtalk.
std::span<const alert_format> alert_formats();
/// Null when there is none of this name.
const alert_format* find_alert_format(std::string_view name);

/// The message as people read it: a line for each alert.
std::string alert_text(const std::vector<alert>& what, std::string_view relay);

}  // namespace relay
