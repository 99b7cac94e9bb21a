#pragma once

// The mark by which a job of ours is recognised at an upstream: the callback URL it was submitted with. Its
// end,
// `/callbacks/<task>/<secret>`, is what is compared, so that it survives a change of the relay's own address.

#include <optional>
#include <string>
#include <string_view>

#include "common/engine/task.hpp"

namespace relay {

/// The address an upstream calls about a task. Empty when the task has no marker or `public_url` is empty.
std::string marker_url(const std::string& public_url, const task& t);
/// `/callbacks/<task>/<marker>`; empty when the task has no marker.
std::string marker_path(const task& t);
/// The task and the secret in an address that ends as a marker path does; nullopt: it does not.
struct marked_job {
  std::string task_id;
  std::string marker;
};
std::optional<marked_job> parse_marker(std::string_view url);

/// True for an address that ends as a marker path does.
bool is_marked(std::string_view url);

}  // namespace relay
