#include "common/engine/matching.hpp"

#include <algorithm>

#include "common/engine/marker.hpp"

namespace relay {
namespace {

// More jobs that could be meant do not make it clearer.
constexpr std::size_t max_candidates = 16;

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
  const auto& candidates = seen.candidates(s.of->id);
  if (rivals || candidates.size() >= max_candidates) return nullptr;
  const listed_job* only = nullptr;
  for (const listed_job& j : candidates) {
    if (from.is_known(j.reported.id)) continue;
    if (only != nullptr) return nullptr;
    only = &j;
  }
  return only;
}

}  // namespace

timestamp needed_since(const task& t) {
  return t.attempted_at - clock_tolerance;
}

lost_submission::lost_submission(task_ptr t, const outgoing& sent, const protocol& p)
    : of(std::move(t)), path(sent.path), readable(false) {
  auto body = parse_lenient(sent.body);
  if (!body || !body->is_object()) return;
  readable = true;
  request = std::move(body->get_object());
  request.erase(p.marker_field);
}

listing::listing(timestamp requested_at, std::vector<lost_submission> wanted, const protocol& p)
    : requested_at_(requested_at), wanted_(std::move(wanted)), speaks_(p) {}

bool listing::add(const listed_page& page) {
  const bool joined = !page.jobs.empty() && shown_.contains(page.jobs.front().reported.id);
  // 1. The order: within the page, and across the border to it.
  timestamp last = joined || shown_.empty() ? timestamp::max() : oldest_;
  auto odd = page.odd.begin();
  for (std::size_t i = 0; i <= page.jobs.size(); ++i) {
    // 2. An item that could not be read is at most as new as the one before it.
    for (; odd != page.odd.end() && *odd == i; ++odd)
      unclear_ = std::max(unclear_, ordered_ ? last : timestamp::max());
    if (i == page.jobs.size()) break;
    const listed_job& j = page.jobs[i];
    if (!is_set(j.created_at) || j.created_at > last) ordered_ = false;
    last = j.created_at;
    // 3. The jobs, each once.
    if (!shown_.contains(j.reported.id)) note(j);
  }
  if (!page.jobs.empty()) oldest_ = last;
  return joined;
}

void listing::note(const listed_job& j) {
  const bool ours = is_marked(j.callback_url);
  shown_.emplace(j.reported.id, shown_job{j.created_at, ours ? j.callback_url : std::string{}});
  echoes_ |= ours;
  if (!j.request) unclear_ = std::max(unclear_, is_set(j.created_at) ? j.created_at : timestamp::max());
  for (const lost_submission& s : wanted_) {
    if (ours && !s.of->marker.empty() && j.callback_url.ends_with(marker_path(*s.of))) {
      marked_.emplace(s.of->id, j);
      continue;
    }
    if (!j.callback_url.empty() || !s.readable || !in_time(*s.of, j) ||
        !speaks_.same_request(*s.of, s.request, j)) {
      continue;
    }
    auto& kept = candidates_[s.of->id];
    if (kept.size() < max_candidates) kept.push_back(j);
  }
}

bool listing::covers(timestamp since) const {
  return ended_ || (ordered_ && !shown_.empty() && oldest_ < since);
}

bool listing::is_clear(timestamp since) const {
  return unclear_ < since;
}

bool listing::is_fresh(const acceptance& when, std::span<const witness> accepted) const {
  bool new_enough = false;
  for (const witness& w : accepted) {
    if (w.attempted_at < when.since || w.accepted_at > when.until) continue;
    const auto found = shown_.find(w.upstream_id);
    if (found == shown_.end()) return false;
    // One whose times are not those of the jobs does not show how far back it reaches.
    const shown_job& j = found->second;
    if (j.created_at < w.attempted_at - clock_tolerance || j.created_at > w.accepted_at + clock_tolerance)
      return false;
    new_enough |=
        w.attempted_at >= when.late && !w.marker_path.empty() && j.callback_url.ends_with(w.marker_path);
  }
  return new_enough;
}

const listed_job* listing::marked(const task& t) const {
  const auto found = marked_.find(t.id);
  return found == marked_.end() ? nullptr : &found->second;
}

std::vector<std::string> listing::candidate_ids() const {
  std::vector<std::string> out;
  for (const auto& [task, jobs] : candidates_) {
    for (const listed_job& j : jobs) out.push_back(j.reported.id);
  }
  return out;
}

const std::vector<listed_job>& listing::candidates(const std::string& task_id) const {
  static const std::vector<listed_job> none;
  const auto found = candidates_.find(task_id);
  return found == candidates_.end() ? none : found->second;
}

task_event find_lost(const lost_submission& s, const listing& seen, std::span<const lost_submission> others,
                     const list_source& from) {
  if (const listed_job* j = seen.marked(*s.of)) return event::found{j->reported, j->reply};
  // With a marker, and a list that echoes it, a job without it is not ours.
  const bool marked = !s.of->marker.empty() && from.echoes_markers && from.clock_is_right;
  if (!marked) {
    if (const listed_job* j = only_candidate(s, seen, others, from))
      return event::found{j->reported, j->reply};
  }
  const timestamp since = needed_since(*s.of);
  // A list that shows a job which began when this one cannot be created any more shows this one, too.
  const listing::acceptance when{s.of->attempted_at, seen.requested_at() - from.list_delay,
                                 s.of->ambiguous_at + from.late_creation};
  return event::absent{seen.requested_at(), marked && seen.covers(since) && seen.is_clear(since) &&
                                                seen.is_fresh(when, from.accepted)};
}

bool contradicts(const lost_submission& s, const listed_job& shown, const protocol& p) {
  const task& t = *s.of;
  if (is_marked(shown.callback_url) && (t.marker.empty() || !shown.callback_url.ends_with(marker_path(t))))
    return true;
  if (is_set(shown.created_at) && shown.created_at < needed_since(t)) return true;
  return p.other_request(s.request, shown);
}

}  // namespace relay
