#include "common/engine/matching.hpp"

#include <algorithm>

#include "common/engine/marker.hpp"

namespace relay {
namespace {

bool in_time(const task& t, const listed_job& j) {
  return is_set(j.created_at) && j.created_at >= t.attempted_at - clock_tolerance &&
         j.created_at <= t.ambiguous_at + clock_tolerance;
}

// The one job that can be meant, when there is no marker to go by; null: none, or several.
const listed_job* only_candidate(const lost_submission& s, const listing& seen,
                                 std::span<const lost_submission> others, const list_source& from) {
  const bool rivals = std::ranges::any_of(others, [&](const lost_submission& o) {
    return o.of->id != s.of->id && o.path == s.path && o.request == s.request;
  });
  if (rivals) return nullptr;
  const listed_job* candidate = nullptr;
  for (const listed_job& j : seen.jobs) {
    if (!j.callback_url.empty() || !in_time(*s.of, j) || !from.speaks.same_request(*s.of, s.request, j) ||
        from.is_known(j.reported.id)) {
      continue;
    }
    if (candidate != nullptr) return nullptr;
    candidate = &j;
  }
  return candidate;
}

}  // namespace

lost_submission::lost_submission(const task& t, const outgoing& sent, const protocol& p)
    : of(&t), path(sent.path), readable(false) {
  auto body = parse_lenient(sent.body);
  if (!body || !body->is_object()) return;
  readable = true;
  request = std::move(body->get_object());
  request.erase(p.marker_field);
}

bool listing::covers(timestamp since) const {
  if (ended) return true;
  if (jobs.empty() || !std::ranges::all_of(jobs, [](const listed_job& j) { return is_set(j.created_at); })) {
    return false;
  }
  const bool newest_first = std::ranges::is_sorted(
      jobs, [](const listed_job& a, const listed_job& b) { return a.created_at > b.created_at; });
  return newest_first && jobs.back().created_at < since;
}

bool listing::echoes() const {
  return std::ranges::any_of(jobs, [](const listed_job& j) { return is_marked(j.callback_url); });
}

bool listing::shows_requests(timestamp since) const {
  return std::ranges::all_of(jobs, [since](const listed_job& j) {
    return (is_set(j.created_at) && j.created_at < since) || j.request.has_value();
  });
}

void listing::add(std::vector<listed_job> page) {
  for (listed_job& j : page) {
    if (ids_.insert(j.reported.id).second) jobs.push_back(std::move(j));
  }
}

timestamp needed_since(const task& t) {
  return t.attempted_at - clock_tolerance;
}

task_event find_lost(const lost_submission& s, const listing& seen, std::span<const lost_submission> others,
                     const list_source& from) {
  const std::string mark = marker_path(*s.of);
  if (!mark.empty()) {
    const auto found =
        std::ranges::find_if(seen.jobs, [&](const listed_job& j) { return j.callback_url.ends_with(mark); });
    if (found != seen.jobs.end()) return event::found{found->reported, found->reply};
  }
  // With a marker, and a list that echoes it, a job without it is not ours.
  const bool marked = !mark.empty() && from.echoes_markers;
  if (!marked && s.readable) {
    if (const listed_job* candidate = only_candidate(s, seen, others, from))
      return event::found{candidate->reported, candidate->reply};
  }
  return event::absent{seen.requested_at, marked && seen.echoes() && seen.covers(needed_since(*s.of)) &&
                                              seen.shows_requests(needed_since(*s.of))};
}

}  // namespace relay
