#include "server/troubles.hpp"

#include <algorithm>

namespace relay {
namespace {

constexpr std::chrono::minutes trend{15};
constexpr std::uint64_t enough_callbacks = 10;
constexpr int failures_in_a_row = 3;           // of submissions
constexpr milliseconds short_trouble{60'000};  // what often ends by itself
constexpr milliseconds lookup_time{300'000};   // a lost submission is found within it, as a rule

std::string mib(std::int64_t bytes) {
  return std::to_string(bytes >> 20) + " MiB";
}

std::string with_problem(std::string text, const std::string& problem) {
  return problem.empty() ? text : text + ": " + problem;
}

}  // namespace

void callback_trend::add(metrics::callback_counts so_far, timestamp now) {
  newest_ = so_far;
  if (samples_.empty() || now >= samples_.back().at + std::chrono::minutes(1))
    samples_.push_back({now, so_far});
  while (samples_.size() > 1 && samples_.front().at + trend < now) samples_.pop_front();
}

metrics::callback_counts callback_trend::lately() const {
  if (samples_.empty()) return {};
  const metrics::callback_counts& first = samples_.front().so_far;
  return {newest_.delivered - first.delivered, newest_.failed - first.failed};
}

bool callback_trend::fails() const {
  const metrics::callback_counts c = lately();
  return c.failed >= enough_callbacks && c.failed > c.delivered;
}

std::vector<condition> troubles_of(const relay_state& s) {
  std::vector<condition> out;
  // 1. The relay itself.
  if (s.database_stopped)
    out.push_back({"database_stopped", "",
                   "the database cannot be written any more, and no job is taken; the log says why"});
  if (!s.disk_refusal.empty())
    out.push_back({"disk_full", "",
                   "the disk has " + mib(s.disk_free) + " left, " + mib(s.disk_needed) +
                       " are needed: new jobs are refused"});
  else if (s.disk_free > 0 && s.disk_free < 2 * s.disk_needed)
    out.push_back(
        {"disk_low", "",
         "the disk has " + mib(s.disk_free) + " left; below " + mib(s.disk_needed) + " new jobs are refused",
         short_trouble});
  if (s.counts.ambiguous > 0)
    out.push_back({"lost_submissions", "",
                   std::to_string(s.counts.ambiguous) +
                       " submissions whose response was lost are still looked up; luma-relay task list "
                       "--state ambiguous",
                   lookup_time});
  if (s.oldest_pending > s.too_old)
    out.push_back({"pending_too_long", "",
                   "a job has waited " + std::to_string(s.oldest_pending.count()) + " s to be submitted; " +
                       std::to_string(s.counts[task_state::pending]) + " wait"});
  if (s.callbacks.fails())
    out.push_back({"callbacks_failing", "",
                   std::to_string(s.callbacks.lately().failed) + " attempts at callbacks failed in " +
                       std::to_string(trend.count()) + " minutes, and " +
                       std::to_string(s.callbacks.lately().delivered) +
                       " were accepted; luma-relay task list --state undelivered"});
  // 2. Each key of each upstream that jobs may go to.
  for (const submit_lane& l : s.lanes) {
    if (l.mode != lane_mode::open || l.poll_only || l.failures == 0) continue;
    if (l.why == cause::key_refused)
      out.push_back(
          {"key_refused", l.name, with_problem("upstream " + l.name + " refuses its key", l.problem)});
    else if (l.why == cause::no_credits)
      out.push_back(
          {"out_of_credits", l.name, with_problem("upstream " + l.name + " is out of credits", l.problem)});
    else if (l.failures >= failures_in_a_row)
      out.push_back({"upstream_down", l.name,
                     with_problem("upstream " + l.name + " cannot take jobs", l.problem), short_trouble});
  }
  return out;
}

}  // namespace relay
