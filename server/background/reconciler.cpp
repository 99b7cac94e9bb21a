#include "server/background/reconciler.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <map>

#include "common/engine/marker.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/outgoing_request.hpp"

namespace relay {
namespace {

constexpr std::int64_t batch = 1'000;  // tasks looked up at once
constexpr std::int64_t max_submitting = 10'000;
constexpr std::size_t page_size = 100;
constexpr std::size_t max_pages = 100;
constexpr int max_retry_after = 300;

}  // namespace

reconciler::reconciler(asio::io_context& loop, store& s, task_changes& changes,
                       std::vector<std::unique_ptr<upstream>>& upstreams, std::string public_url, metrics& m,
                       spdlog::logger& log)
    : loop_(loop),
      store_(s),
      changes_(changes),
      upstreams_(upstreams),
      public_url_(std::move(public_url)),
      metrics_(m),
      log_(log),
      wake_(loop) {}

void reconciler::saved(const task& t) {
  if (is_set(t.next_reconcile_at)) wake_.notify_by(t.next_reconcile_at);
}

void reconciler::hint(const task& t) {
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

// Starts one lookup for each upstream at which some task is due, unless one is under way there.
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
    hinted_.erase(t->id);
    if (!is_ambiguous(*t)) continue;  // it has changed since it was read
    const std::string name = t->upstream;
    by_upstream[name].push_back(std::move(t));
  }
  // 2. What an upstream's callback pointed at need not be due yet.
  const auto hinted = std::exchange(hinted_, {});
  for (const std::string& id : hinted) {
    auto t = co_await load_task(store_, id);
    if (t && *t && is_ambiguous(**t)) by_upstream[(*t)->upstream].push_back(*t);
  }
  // 3. One reading of an upstream's list serves all of its lost submissions.
  for (auto& [name, lost] : by_upstream) {
    if (!reading_.insert(name).second) continue;
    auto work = look_up(name, std::move(lost));
    asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
  }
}

awaitable<> reconciler::look_up(std::string upstream_name, tasks due) {
  const auto at = std::ranges::find(upstreams_, upstream_name, [](const auto& u) { return u->name(); });
  upstream* found = at == upstreams_.end() ? nullptr : at->get();
  bool failed = false;
  try {
    co_await look_up_at(found, std::move(due));
  } catch (const std::exception& e) {
    log_.error("looking up lost submissions at {} ended by an exception, trying again in 1 s: {}",
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
    const event::lookup_failed e{at != nullptr, {}};
    const std::string name = at == nullptr ? "an upstream that is not configured" : at->name();
    co_await fail_lookups(due, e, name);
    co_return;
  }
  auto seen = co_await read_list(*at, due);
  if (!seen && stopped_) co_return;  // cut off by ourselves
  if (!seen) {
    for (const task_ptr& t : due) {
      log_.warn("task {}: the list of {} cannot be read: {}; trying again", t->id, at->name(),
                seen.error().log.text);
    }
    const milliseconds later(1000 * std::min(seen.error().retry_after_seconds, max_retry_after));
    const event::lookup_failed e{false, later};
    co_await fail_lookups(due, e, at->name());
    co_return;
  }
  if (seen->echoes()) echo_markers_.insert(at->name());
  co_await match(*at, *seen, due);
}

awaitable<> reconciler::fail_lookups(const tasks& due, event::lookup_failed e,
                                     std::string_view upstream_name) {
  for (const task_ptr& t : due) co_await settle(t->id, e, upstream_name);
}

awaitable<result<listed_page>> reconciler::read_page(upstream& at, std::size_t offset) {
  const auto started = steady_clock::now();
  const std::string path = at.speaks().build_list(page_size, offset);
  const exchange x = co_await at.fetch(path);
  std::string problem = x.problem;
  if (x.responded && x.status != 200)
    problem = "status " + std::to_string(x.status) + ": " + at.speaks().error_text(x.status, x.body);
  result<listed_page> page = fail(errc::upstream_unavailable, problem);
  if (problem.empty()) page = at.speaks().parse_list(x.body);
  metrics_.upstream_call(at.name(), "list", page ? "ok" : "error",
                         std::chrono::duration<double>(steady_clock::now() - started).count());
  if (!page) page.error().retry_after_seconds = x.retry_after_seconds;
  co_return page;
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

// As many pages as it takes to reach back past the oldest attempt.
awaitable<result<listing>> reconciler::read_list(upstream& at, tasks& due) {
  listing seen;
  seen.requested_at = now();
  std::size_t offset = 0;
  for (std::size_t page_number = 0; page_number < max_pages && !seen.ended; ++page_number) {
    auto page = co_await read_page(at, offset);
    if (!page) co_return std::unexpected(std::move(page.error()));
    co_await adopt_marked(*page, due, at.name());
    offset += page->jobs.size();
    // A page that is merely short proves nothing: what an upstream allows at most is not known.
    seen.ended = page->jobs.empty() || (page->has_more && !*page->has_more);
    seen.add(std::move(page->jobs));
    // Far enough: the list reaches back to before the oldest attempt that is still looked up.
    timestamp since = seen.requested_at;
    for (const task_ptr& t : due) since = std::min(since, needed_since(*t));
    if (due.empty() || seen.covers(since)) break;
  }
  co_return seen;
}

// Jobs in the list without a callback URL that some task of ours has already. When that cannot be read, all
// of them count: then nothing is adopted by mistake.
awaitable<std::unordered_set<std::string>> reconciler::known_jobs(const upstream& at, const listing& seen,
                                                                  const tasks& submitting) {
  std::vector<std::string> ids;
  for (const listed_job& j : seen.jobs) {
    if (j.callback_url.empty()) ids.push_back(j.reported.id);
  }
  if (ids.empty()) co_return std::unordered_set<std::string>{};
  timestamp since = seen.requested_at;
  for (const task_ptr& t : submitting) since = std::min(since, t->created_at);
  // A task that has such a job was created at most this long before these were.
  since -= changes_.limits().submit_deadline + std::chrono::hours(24);
  auto known = co_await from_store(store_, &store::known_jobs, at.name(), ids, since);
  if (!known) co_return std::unordered_set<std::string>(ids.begin(), ids.end());
  co_return std::unordered_set<std::string>(known->begin(), known->end());
}

awaitable<> reconciler::match(upstream& at, const listing& seen, const tasks& due) {
  // Every submission under way counts too: two equal ones must not take each other's job.
  auto submitting = co_await from_store(store_, &store::submitting_to, at.name(), max_submitting);
  if (!submitting) throw std::runtime_error(submitting.error().log.text);
  const outgoing_settings with{at.settings().default_model, public_url_};
  std::vector<lost_submission> all;
  for (const task_ptr& t : *submitting) {
    auto request = co_await outgoing_request(store_, *t, at.speaks(), with);
    all.emplace_back(*t, request ? *request : outgoing{}, at.speaks());
  }
  auto known = co_await known_jobs(at, seen, *submitting);

  // While our clock still follows a jump, times of the two sides cannot be compared: nothing is proven.
  const bool clock_is_right = std::chrono::abs(wall_clock() - now()) < clock_tolerance;
  const list_source from{at.speaks(), echo_markers_.contains(at.name()) && clock_is_right,
                         [&known](const std::string& id) { return known.contains(id); }};
  // One after the other: a job that one submission takes is known to the next.
  for (const lost_submission& s : all) {
    const bool is_due =
        is_ambiguous(*s.of) && std::ranges::any_of(due, [&](const task_ptr& t) { return t->id == s.of->id; });
    if (!is_due) continue;
    task_event e = find_lost(s, seen, all, from);
    if (const auto* found = std::get_if<event::found>(&e)) known.insert(found->reported.id);
    co_await settle(s.of->id, std::move(e), at.name());
  }
}

awaitable<> reconciler::settle(std::string id, task_event e, std::string_view upstream_name) {
  // The event is moved from below; the log line needs this of it.
  const auto* absent = std::get_if<event::absent>(&e);
  const bool proven = absent != nullptr && absent->proven;
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
                next.upstream_id);
      break;
    case task_state::pending:
      log_.warn("task {}: {}; it waits to be submitted again", id,
                proven ? "the list of " + std::string(upstream_name) + " proves that it is not there"
                       : "it may or may not exist at " + std::string(upstream_name) +
                             " (submit.on_ambiguous = \"resubmit\")");
      break;
    case task_state::failed:
      log_.error("task {}: it failed: {}", id, next.fail_reason);
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
