#include "common/engine/explain.hpp"

#include <algorithm>

#include "common/base/text.hpp"

namespace relay {
namespace {

std::string at(timestamp t) {
  return to_iso(t, precision::milliseconds);
}

std::string count(std::int64_t n, const char* one, const char* many) {
  return std::to_string(n) + " " + (n == 1 ? one : many);
}

std::string why_it_waits(const task& t, std::span<const submit_lane> lanes, timestamp now) {
  std::string out;
  bool any_serves = false;
  for (const submit_lane& l : lanes) {
    if (!serves(l, t)) continue;
    any_serves = true;
    const std::string why = obstacle_of(l, now);
    out.append(out.empty() ? "" : "; ").append("upstream ").append(l.name).append(" ");
    if (!why.empty())
      out.append(why);
    else if (t.next_submit_at > now)
      out.append("can take a job, but not this one before " + at(t.next_submit_at));
    else
      out.append("can take it: it goes out in the turn of its account");
  }
  if (lanes.empty()) out = "no relay runs with this database";
  if (!lanes.empty() && !any_serves)
    out = t.pinned ? "only upstream " + t.upstream + " has what it builds on, and takes no such job"
                   : "no upstream of the configuration takes such a job now";
  out = "waiting: " + out;
  if (t.attempts > 0) out += "; " + count(t.attempts, "attempt", "attempts") + " so far";
  if (is_set(t.deadline)) out += "; it fails at " + at(t.deadline) + " if nobody takes it";
  return out;
}

std::string why_it_is_looked_up(const task& t) {
  return "the response to its submission to " + t.upstream + " at " + at(t.attempted_at) +
         " was lost: it is looked up there" +
         (is_set(t.next_reconcile_at) ? ", next at " + at(t.next_reconcile_at) : "");
}

std::string at_its_upstream(const task& t) {
  std::string out = "at upstream " + t.upstream + " as " + t.upstream_id + " since " + at(t.started_at);
  if (t.misses > 0) out += "; " + count(t.misses, "poll", "polls") + " without an answer";
  if (is_set(t.next_poll_at)) out += "; polled next by " + at(t.next_poll_at);
  return out;
}

std::string how_it_failed(const task& t) {
  std::string out = "failed at " + at(t.finished_at);
  if (t.fail_status != 0)
    out += ": upstream " + t.upstream + " refused it with " + std::to_string(t.fail_status);
  if (!t.fail_reason.empty()) out += ": " + for_log(t.fail_reason);
  if (is_looked_up_late(t)) out += "; it may be there all the same, and is looked up until " + at(t.deadline);
  if (is_set(t.next_poll_at)) out += "; it may complete all the same, and is polled until " + at(t.deadline);
  return out;
}

std::string of_its_callback(const task& t) {
  if (t.callback_problem.empty() && t.pending_callbacks.empty()) return {};
  std::string out;
  if (t.callback_attempts > 0)
    out = count(t.callback_attempts, "attempt", "attempts") + " at its callback failed";
  else if (!t.pending_callbacks.empty())
    out = "a callback is to be sent";
  else
    out = "its callback was not accepted";
  if (!t.callback_problem.empty()) out += " (" + t.callback_problem + ")";
  if (is_set(t.next_callback_at)) out += ", next at " + at(t.next_callback_at);
  return out;
}

std::string main_sentence(const task& t, std::span<const submit_lane> lanes, timestamp now) {
  switch (t.state) {
    case task_state::pending:
      if (is_held(t))
        return "held since a backup was restored at " + at(t.held_at) +
               ", because it may have been submitted since that was made; luma-relay task release lets it go "
               "out";
      return why_it_waits(t, lanes, now);
    case task_state::submitting:
      if (is_ambiguous(t)) return why_it_is_looked_up(t);
      return "being submitted to " + t.upstream + " since " + at(t.attempted_at);
    case task_state::queued:
    case task_state::running:
      return at_its_upstream(t);
    case task_state::completed:
      return "completed at " + at(t.finished_at) + " by upstream " + t.upstream;
    case task_state::failed:
      return how_it_failed(t);
  }
  return {};
}

}  // namespace

std::string obstacle_of(const submit_lane& l, timestamp now) {
  const auto because = [&l](std::string text) {
    return l.problem.empty() ? text : text + " after " + l.problem;
  };
  if (l.poll_only) return "is poll_only in the configuration";
  if (l.mode == lane_mode::paused) return "is paused by an operator";
  if (l.mode == lane_mode::closed) return "is not in the configuration";
  if (now < l.cool_down_until) return because("gets no jobs until " + at(l.cool_down_until));
  if (l.max_open > 0 && l.open >= l.max_open)
    return "has " + std::to_string(l.open) + " of the " + std::to_string(l.max_open) +
           " jobs that max_concurrent allows";
  if (!l.at_once.allows(l.open, now))
    return "has " + std::to_string(l.open) + " jobs, and takes " + std::to_string(l.at_once.value()) +
           " at once, as it has shown";
  if (l.can_take(now)) return {};
  if (l.in_flight >= std::min(l.max_in_flight, l.window))
    return "is being sent " + count(l.in_flight, "job", "jobs") + ", and more go when these are answered";
  if (const timestamp next = l.next_available(now); next > now) return "takes its next job by " + at(next);
  return "takes no more jobs at this moment";
}

std::string explain(const task& t, std::span<const submit_lane> lanes, timestamp now) {
  std::string out = main_sentence(t, lanes, now);
  if (is_set(t.cancelled_at) && !is_terminal(t.state))
    out += "; it was cancelled, and ends unless the upstream has it";
  if (is_set(t.deleted_at)) out += "; its client deleted it";
  if (const std::string callback = of_its_callback(t); !callback.empty()) out += "; " + callback;
  return out;
}

}  // namespace relay
