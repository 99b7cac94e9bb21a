#pragma once

// What happened to a job, line by line, for its operator. A line is written for each problem, for each
// callback, for calls of its upstream, and for what an operator or its client asked for; the rest stands in
// the task's own times, so that a job without trouble writes nothing for its story. Pure. Without secrets.

#include <string>
#include <vector>

#include "common/engine/events.hpp"
#include "common/engine/task.hpp"

namespace relay {

inline constexpr std::size_t max_story_lines = 30;
inline constexpr std::size_t max_story_text = 240;  // bytes of a line

/// Adds the line of an event that was applied, if it has one, to task::story. The same again, with one other
/// line between at most, is counted; of too many lines the first and the newest are kept.
void add_to_story(task& after, const task_event& e, timestamp now);

struct story_line {
  timestamp at;
  std::string text;
};
/// All of it, in order.
std::vector<story_line> story_of(const task& t);

}  // namespace relay
