#include "server/background/reconciler.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/text.hpp"
#include "common/engine/marker.hpp"
#include "server/await_store.hpp"
#include "server/background/list_reader.hpp"
#include "server/clock.hpp"
#include "server/outgoing_request.hpp"

namespace relay {
namespace {

constexpr std::int64_t batch = 1'000;  // tasks looked up at once
constexpr std::int64_t max_submitting = 10'000;
constexpr std::size_t max_accepted = 20'000;
constexpr int max_retry_after = 300;

}  // namespace

reconciler::reconciler(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, metrics& m,
                       spdlog::logger& log)
    : loop_(loop),
      store_(s),
      changes_(changes),
      upstreams_(all),
      metrics_(m),
      log_(log),
      named_(loop, s, changes, all, m, log),
      wake_(loop) {}

void reconciler::saved(const task& t) {
  if (is_set(t.next_reconcile_at)) wake_.notify_by(t.next_reconcile_at);
  if (is_ambiguous(t)) accepted_.try_emplace(t.upstream);
  if (!accepted_.empty()) note_accepted(t);
  named_.saved(t);
}

void reconciler::note_accepted(const task& t) {
  if (t.upstream_id.empty() || !is_set(t.started_at)) return;
  const auto found = accepted_.find(t.upstream);
  if (found == accepted_.end() || !found->second.ids.insert(t.upstream_id).second) return;
  accepted_jobs& kept = found->second;
  kept.jobs.push_back({t.upstream_id, marker_path(t), t.attempted_at, t.started_at});
  if (kept.jobs.size() <= max_accepted) return;
  kept.ids.erase(kept.jobs.front().upstream_id);
  kept.jobs.pop_front();
}

void reconciler::hint(const task& t, std::string_view body) {
  if (named_.named(t, body)) return;
  hinted_.insert(t.id);
  wake_.notify();
}

awaitable<> reconciler::run() {
  while (!stopped_) {
    const timestamp time = now();
    co_await look_up_due(time);
    const auto next = co_await from_store(store_, &store::next_due, schedule::reconcile);
    const timestamp at = next && *next > time ? *next : never;
    co_await wake_.wait(now(), at);
  }
}

// Starts one lookup for each upstream at which some task is due, or was called about, unless one is under way
// there.
awaitable<> reconciler::look_up_due(timestamp time) {
  // 1. What is due, in order of time.
  const schedule_cursor start;
  auto due = co_await from_store(store_, &store::due, schedule::reconcile, time, start, batch);
  if (!due) {
    log_.error("cannot read the tasks to look up, will try again: {}", due.error().log.text);
    co_return;
  }
  std::map<std::string, tasks> by_upstream;
  for (task_ptr& t : due->tasks) {
    if (!is_ambiguous(*t) && !is_looked_up_late(*t)) continue;  // it has changed since it was read
    const std::string name = t->upstream;
    by_upstream[name].push_back(std::move(t));
  }
  start_lookups(std::exchange(by_upstream, {}));
  // 2. What an upstream's callback pointed at need not be due yet.
  for (const std::string& id : std::exchange(hinted_, {})) {
    task_event called = event::called{};
    (void)co_await changes_.apply(id, std::move(called));  // for its story: nothing depends on it
    if (stopped_) co_return;
    called_.insert(id);
  }
  for (const std::string& id : std::exchange(called_, {})) {
    auto t = co_await load_task(store_, id);
    if (!t || !*t || (!is_ambiguous(**t) && !is_looked_up_late(**t))) continue;
    // A list that is being read may have been requested before the call.
    if (reading_.contains((*t)->upstream))
      called_.insert(id);
    else
      by_upstream[(*t)->upstream].push_back(*t);
  }
  start_lookups(std::move(by_upstream));
}

// One reading of an upstream's list serves all of its lost submissions.
void reconciler::start_lookups(std::map<std::string, tasks> by_upstream) {
  for (auto& [name, lost] : by_upstream) {
    if (!reading_.insert(name).second) continue;
    auto work = look_up(name, std::move(lost));
    asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
  }
}

awaitable<> reconciler::look_up(std::string upstream_name, tasks due) {
  upstream* found = upstreams_.find(upstream_name);
  bool failed = false;
  try {
    co_await look_up_at(found, std::move(due));
  } catch (const std::exception& e) {
    log_.error("the lookup of lost submissions at {} ended by an exception, trying again in 1 s: {}",
               upstream_name, e.what());
    failed = true;
  }
  if (failed) {
    steady_timer pause(loop_.get_executor());
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
  }
  reading_.erase(upstream_name);
  wake_.notify();
}

awaitable<> reconciler::look_up_at(upstream* at, tasks due) {
  if (at == nullptr || at->speaks().build_list == nullptr) {
    const event::lookup_failed e{at != nullptr, {}, {}};
    const std::string name = at == nullptr ? "an upstream that is not configured" : at->name();
    co_await fail_lookups(due, e, name);
    co_return;
  }
  auto wanted = co_await submissions(*at, due);
  listing seen(now(), std::move(wanted), at->speaks());
  list_reader reader(loop_, *at, metrics_, [this] { return stopped_; });
  auto on_page = [&](const listed_page& page) { return take_page(page, seen, due, at->name()); };
  const auto read = co_await reader.read(seen, std::move(on_page));
  if (!read && stopped_) co_return;  // cut off by ourselves
  if (!read) {
    for (const task_ptr& t : due) {
      log_.warn("task {}: the list of {} cannot be read: {}; trying again", t->id, at->name(),
                read.error().log.text);
    }
    const milliseconds later(1000 * std::min(read.error().retry_after_seconds, max_retry_after));
    const event::lookup_failed e{false, later, read.error().log.text};
    co_await fail_lookups(due, e, at->name());
    co_return;
  }
  if (seen.echoes()) echo_markers_.insert(at->name());
  co_await match(*at, seen, due);
}

awaitable<> reconciler::fail_lookups(const tasks& due, event::lookup_failed e,
                                     std::string_view upstream_name) {
  for (const task_ptr& t : due) co_await settle(t->id, e, upstream_name);
}

// The tasks, and what was sent for them.
awaitable<std::vector<lost_submission>> reconciler::submissions(upstream& at, const tasks& of) {
  const auto with = at.sends_with();
  std::vector<lost_submission> out;
  for (const task_ptr& t : of) {
    const auto request = co_await outgoing_request(store_, *t, at.speaks(), *with);
    out.emplace_back(t, request ? *request : outgoing{}, at.speaks());
  }
  co_return out;
}

// False: the list reaches back past the oldest attempt that is still looked up.
awaitable<bool> reconciler::take_page(const listed_page& page, const listing& seen, tasks& due,
                                      std::string_view upstream_name) {
  co_await adopt_marked(page, due, upstream_name);
  timestamp since = seen.requested_at();
  for (const task_ptr& t : due) since = std::min(since, needed_since(*t));
  co_return !due.empty() && !seen.covers(since);
}

// A job that bears a task's marker is adopted as soon as it is seen, so that a long list does not hold up a
// job that is at its head.
awaitable<> reconciler::adopt_marked(const listed_page& page, tasks& due, std::string_view upstream_name) {
  for (const listed_job& j : page.jobs) {
    if (!is_marked(j.callback_url)) continue;
    const auto whose = std::ranges::find_if(due, [&](const task_ptr& t) {
      return !t->marker.empty() && j.callback_url.ends_with(marker_path(*t));
    });
    if (whose == due.end()) continue;
    const std::string id = (*whose)->id;
    due.erase(whose);
    task_event e = event::found{j.reported, j.reply};
    co_await settle(id, std::move(e), upstream_name);
  }
}

// Jobs that could be meant and that some task of ours has already. When that cannot be read, all of them
// count: then nothing is adopted by mistake.
awaitable<std::unordered_set<std::string>> reconciler::known_jobs(const upstream& at, const listing& seen,
                                                                  const tasks& submitting) {
  const std::vector<std::string> ids = seen.candidate_ids();
  if (ids.empty()) co_return std::unordered_set<std::string>{};
  timestamp since = seen.requested_at();
  for (const task_ptr& t : submitting) since = std::min(since, t->created_at);
  // A task that has such a job was created at most this long before these were.
  since -= changes_.limits().submit_deadline + std::chrono::hours(24);
  std::unordered_set<std::string> out;
  for (const std::string& name : upstreams_.at_the_place_of(at)) {
    auto known = co_await from_store(store_, &store::known_jobs, name, ids, since);
    if (!known) co_return std::unordered_set<std::string>(ids.begin(), ids.end());
    out.insert(known->begin(), known->end());
  }
  co_return out;
}

awaitable<> reconciler::match(upstream& at, const listing& seen, const tasks& due) {
  // Every submission under way counts too: two equal ones must not take each other's job.
  // Keys of one account show each other's jobs.
  tasks submitting;
  for (const std::string& name : upstreams_.at_the_place_of(at)) {
    auto there = co_await from_store(store_, &store::submitting_to, name, max_submitting);
    if (!there) throw std::runtime_error(there.error().log.text);
    submitting.insert(submitting.end(), there->begin(), there->end());
  }
  const std::vector<lost_submission> all = co_await submissions(at, submitting);
  auto known = co_await known_jobs(at, seen, submitting);

  const auto accepted = accepted_.find(at.name());
  std::vector<witness> witnesses;
  if (accepted != accepted_.end())
    witnesses.assign(accepted->second.jobs.begin(), accepted->second.jobs.end());
  list_source from;
  from.echoes_markers = echo_markers_.contains(at.name());
  // While our clock still follows a jump, times of the two sides cannot be compared: nothing is proven.
  from.clock_is_right = std::chrono::abs(wall_clock() - now()) < clock_tolerance;
  from.is_known = [&known](const std::string& id) { return known.contains(id); };
  from.accepted = witnesses;
  from.list_delay = changes_.limits().settle / 12;
  from.late_creation = changes_.limits().settle * 3 / 2;
  // One after the other: a job that one submission takes is known to the next.
  for (const lost_submission& s : seen.wanted()) {
    if (std::ranges::none_of(due, [&](const task_ptr& t) { return t->id == s.of->id; })) continue;  // adopted
    task_event e = find_lost(s, seen, all, from);
    if (const auto* found = std::get_if<event::found>(&e)) known.insert(found->reported.id);
    co_await settle(s.of->id, std::move(e), at.name());
  }
  // Nothing is lost there any more: no list has to be fresh.
  if (std::ranges::none_of(submitting,
                           [&at](const task_ptr& t) { return t->upstream == at.name() && is_ambiguous(*t); }))
    accepted_.erase(at.name());
}

awaitable<> reconciler::settle(std::string id, task_event e, std::string_view upstream_name) {
  // The event is moved from below; the log line needs this of it.
  const auto* absent = std::get_if<event::absent>(&e);
  const bool proven = absent != nullptr && absent->would_show;
  auto saved = co_await changes_.apply(id, std::move(e));
  if (!saved) {
    if (saved.error().code == errc::task_not_found) co_return;
    throw std::runtime_error(saved.error().log.text);
  }
  if (!saved->changed()) co_return;
  // What became of it, for the operator.
  const task& next = *saved->after;
  switch (next.state) {
    case task_state::queued:
    case task_state::running:
    case task_state::completed:
      log_.warn("task {}: found in the list of {} as {}; it is followed from here", id, upstream_name,
                for_log(next.upstream_id));
      break;
    case task_state::pending:
      log_.warn("task {}: {}; it waits to be submitted again", id,
                proven ? "the list of " + std::string(upstream_name) + " proves that it is not there"
                       : "it may or may not exist at " + std::string(upstream_name) +
                             " (submit.on_ambiguous = \"resubmit\")");
      break;
    case task_state::failed:
      if (!is_terminal(saved->before->state)) {
        log_.error("task {}: it failed: {}{}", id, next.fail_reason,
                   is_looked_up_late(next)
                       ? "; should it be found by " + to_iso(next.deadline, precision::milliseconds) +
                             ", it is followed all the same"
                       : "");
      } else if (!next.upstream_id.empty()) {
        log_.warn("task {}: found in the list of {} as {}, after it had failed; it is followed from here", id,
                  upstream_name, for_log(next.upstream_id));
      }
      break;
    case task_state::submitting:
      break;
  }
}

void reconciler::stop() {
  stopped_ = true;
  wake_.notify();
}

}  // namespace relay
