#pragma once

// What a client may see of a task, computed once and shared by every dialect: the echo of the request, what
// the upstream reported, and the result's files.

#include <optional>

#include "common/base/json.hpp"
#include "common/base/json_arena.hpp"
#include "common/base/json_text.hpp"
#include "common/engine/task.hpp"
#include "common/luma/media.hpp"

namespace relay::luma {

class task_view {
 public:
  explicit task_view(const task& t);

  const task& of() const { return of_; }
  std::string_view prompt() const { return text_of(request_, "prompt"); }
  /// A member of what was requested; null when it is absent.
  const json::value* requested(std::string_view key) const { return member(request_, key); }
  /// A member of the upstream's job object; null when it is absent, or the upstream has reported nothing yet.
  const json::value* reported(std::string_view key) const;
  const media_objects& media() const { return media_; }

  /// Writes the official echo: what was requested, absent optional fields as null. `no_prompt`: JSON that
  /// stands for an absent prompt, which is shown in any case when this is not "null".
  void append_echo(std::string& out, std::string_view no_prompt = "null") const;

 private:
  const json::object* parse_reported() const;

  const task& of_;
  mutable json_arena memory_;
  json::object request_;
  mutable json::value reply_;                            // what `reported_` points into
  mutable std::optional<const json::object*> reported_;  // parsed when it is needed
  media_objects media_;
};

/// 0 to 100: the upstream's own figure, else by the state and the time that has passed (20 to 90 while
/// it runs).
int progress_of(const task& t, timestamp now);

}  // namespace relay::luma
