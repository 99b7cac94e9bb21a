#include "common/engine/story.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/text.hpp"

namespace relay {
namespace {

constexpr std::size_t kept_first = 10;  // lines; the rest are the newest
constexpr std::string_view left_out = "…";

// As it is kept: "AT LAST COUNT TEXT\n", times in microseconds.
struct kept_line {
  std::int64_t at = 0;
  std::int64_t last = 0;
  std::int64_t count = 1;
  std::string_view text;
};

std::int64_t take_number(std::string_view& line) {
  std::int64_t n = 0;
  const auto end = std::from_chars(line.data(), line.data() + line.size(), n).ptr;
  line.remove_prefix(static_cast<std::size_t>(end - line.data()));
  if (!line.empty()) line.remove_prefix(1);
  return n;
}

std::vector<kept_line> lines_of(std::string_view story) {
  std::vector<kept_line> out;
  out.reserve(max_story_lines + 1);
  while (!story.empty()) {
    std::string_view line = story.substr(0, story.find('\n'));
    story.remove_prefix(std::min(story.size(), line.size() + 1));
    kept_line& l = out.emplace_back();
    l.at = take_number(line);
    l.last = take_number(line);
    l.count = take_number(line);
    l.text = line;
  }
  return out;
}

std::string text_of(const std::vector<kept_line>& lines) {
  std::string out;
  for (const kept_line& l : lines) {
    out.append(std::to_string(l.at)).append(" ").append(std::to_string(l.last)).append(" ");
    out.append(std::to_string(l.count)).append(" ").append(l.text).append("\n");
  }
  return out;
}

std::string because(std::string text, const std::string& note) {
  return note.empty() ? text : text + ": " + note;
}

// What an event says of the task that it was applied to; empty: it went as it should.
struct line_of_event {
  const task& t;

  std::string submission() const {
    return "submission " + std::to_string(t.attempts) + " to upstream " + t.upstream;
  }

  std::string operator()(const event::rejected& e) const {
    if (!e.was_sent) return because("it cannot be sent to upstream " + t.upstream, e.message);
    return "upstream " + t.upstream + " refused it with " + std::to_string(e.status);
  }
  std::string operator()(const event::unavailable& e) const {
    return because(e.attempt_id.empty() ? "it could not be submitted" : submission() + " was not taken",
                   e.note);
  }
  std::string operator()(const event::outcome_unknown& e) const {
    return because("the response to " + submission() + " was lost, and it is looked up there", e.note);
  }
  std::string operator()(const event::interrupted&) const {
    return "the relay ended during " + submission() + ", and it is looked up there";
  }
  std::string operator()(const event::found& e) const {
    return "upstream " + t.upstream + " shows it as " + e.reported.id;
  }
  std::string operator()(const event::found_held& e) const {
    return "upstream " + e.upstream + " shows it as " + e.reported.id;
  }
  std::string operator()(const event::released&) const { return "an operator let it be submitted"; }
  std::string operator()(const event::absent&) const {
    return "looked up at upstream " + t.upstream + ": its list does not show it";
  }
  std::string operator()(const event::lookup_failed& e) const {
    if (e.no_list) return "upstream " + t.upstream + " has no list in which it could be looked up";
    return because("it could not be looked up at upstream " + t.upstream, e.note);
  }
  std::string operator()(const event::submit_expired&) const { return "no upstream took it in time"; }
  std::string operator()(const event::cancelled&) const { return "an operator cancelled it"; }
  std::string operator()(const event::deleted&) const { return "its client deleted it"; }
  std::string operator()(const event::removal_failed&) const {
    return "upstream " + t.upstream + " did not delete it";
  }
  std::string operator()(const event::poll_failed& e) const {
    return because("a poll of upstream " + t.upstream + " failed", e.note);
  }
  std::string operator()(const event::called&) const { return "upstream " + t.upstream + " called about it"; }
  std::string operator()(const event::links_lost&) const {
    return "upstream " + t.upstream + " does not know its result any more";
  }
  std::string operator()(const event::delivered&) const { return "its callback was accepted"; }
  std::string operator()(const event::delivery_failed& e) const {
    return because(e.gone ? "its callback was refused for good" : "its callback was not accepted", e.problem);
  }
  std::string operator()(const event::callback_requested&) const {
    return "an operator asked for its callback";
  }
  std::string operator()(const auto&) const { return {}; }
};

story_line shown(const kept_line& l) {
  const timestamp at{std::chrono::microseconds(l.at)};
  if (l.text == left_out)
    return {at, std::to_string(l.count) + (l.count == 1 ? " line is left out" : " lines are left out")};
  std::string text(l.text);
  if (l.count > 1)
    text += " (" + std::to_string(l.count) + " times, the last at " +
            to_iso(timestamp{std::chrono::microseconds(l.last)}, precision::milliseconds) + ")";
  return {at, std::move(text)};
}

}  // namespace

void add_to_story(task& after, const task_event& e, timestamp now) {
  const std::string said = std::visit(line_of_event{after}, e);
  if (said.empty()) return;
  const std::string text = for_log(said, max_story_text);
  const std::int64_t at = now.time_since_epoch().count();
  std::vector<kept_line> lines = lines_of(after.story);
  // Two that take turns, such as a call of the upstream and a poll that fails, are counted too.
  const auto newest = lines.begin() + (std::ssize(lines) > 2 ? std::ssize(lines) - 2 : 0);
  if (const auto same = std::find_if(newest, lines.end(), [&](const kept_line& l) { return l.text == text; });
      same != lines.end()) {
    same->last = at;
    ++same->count;
  } else {
    lines.push_back({at, at, 1, text});
  }
  if (lines.size() > max_story_lines) {
    kept_line& gap = lines[kept_first];
    if (gap.text != left_out) gap = {gap.at, gap.at, 1, left_out};
    lines.erase(lines.begin() + kept_first + 1);
    ++gap.count;
  }
  after.story = text_of(lines);
}

std::vector<story_line> story_of(const task& t) {
  std::vector<story_line> out;
  // In order, and after what happened at the same time.
  const auto add = [&out](timestamp at, std::string text) {
    if (!is_set(at)) return;
    const auto place = std::ranges::upper_bound(out, at, {}, &story_line::at);
    out.insert(place, {at, std::move(text)});
  };
  add(t.created_at, "created");
  for (const kept_line& l : lines_of(t.story)) {
    story_line line = shown(l);
    add(line.at, std::move(line.text));
  }
  if (t.attempts > 0)
    add(t.attempted_at, "submitted to upstream " + t.upstream + ", attempt " + std::to_string(t.attempts));
  if (!t.upstream_id.empty()) add(t.started_at, "upstream " + t.upstream + " has it as " + t.upstream_id);
  if (is_terminal(t.state))
    add(t.finished_at, t.state == task_state::completed ? "completed" : "failed: " + for_log(t.fail_reason));
  return out;
}

}  // namespace relay
