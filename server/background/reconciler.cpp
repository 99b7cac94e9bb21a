#include "server/background/reconciler.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <map>

#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/upstream/outcome.hpp"

namespace relay {
namespace {

constexpr std::int64_t batch = 1'000;  // tasks looked for at once
constexpr std::int64_t most_submitting = 10'000;
constexpr std::size_t page_size = 100;
constexpr std::size_t most_pages = 100;

}  // namespace

reconciler::reconciler(asio::io_context& loop, store& s, std::vector<std::unique_ptr<upstream>>& upstreams,
                       const dispatcher& submit, const policy& p, metrics& m, spdlog::logger& log)
    : loop_(loop),
      store_(s),
      upstreams_(upstreams),
      submit_(submit),
      policy_(p),
      metrics_(m),
      log_(log),
      alarm_(loop) {}

void reconciler::saved(const task& t) {
  if (is_set(t.next_reconcile_at)) alarm_.consider(t.next_reconcile_at);
}

void reconciler::hint(const task& t) {
  hinted_.insert(t.id);
  alarm_.nudge();
}

awaitable<> reconciler::run() {
  while (!stopped_) {
    const timestamp time = now();
    auto due = store_.due(schedule::reconcile, time, batch, 0);
    if (!due) log_.error("cannot read the tasks to look for, will try again: {}", due.error().log.text);
    std::map<std::string, std::vector<task>> by_upstream;
    if (due) {
      for (task& t : *due) {
        hinted_.erase(t.id);
        std::string name = t.upstream;
        by_upstream[std::move(name)].push_back(std::move(t));
      }
    }
    for (const std::string& id : std::exchange(hinted_, {})) {
      if (auto t = store_.load(id); t && *t && is_ambiguous(**t)) by_upstream[(*t)->upstream].push_back(**t);
    }
    for (auto& [name, tasks] : by_upstream) {
      if (!looking_.insert(name).second) continue;
      auto work = look(name, std::move(tasks));
      asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
    }
    auto next = store_.next_due(schedule::reconcile);
    co_await alarm_.wait(now(), next && *next > time ? *next : never);
  }
}

awaitable<> reconciler::look(std::string upstream_name, std::vector<task> due) {
  const auto at = std::ranges::find(upstreams_, upstream_name, [](const auto& u) { return u->name(); });
  upstream* found = at == upstreams_.end() ? nullptr : at->get();
  bool failed = false;
  try {
    co_await look_at(found, std::move(due));
  } catch (const std::exception& e) {
    log_.error("looking for lost submissions at {} ended by an exception, trying again in 1 s: {}",
               upstream_name, e.what());
    failed = true;
  }
  if (failed) {
    steady_timer pause(loop_.get_executor());
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
  }
  looking_.erase(upstream_name);
  alarm_.nudge();
}

// As many pages as it takes to reach back past the oldest attempt. A job that bears a task's marker is taken
// over as soon as it is seen, so that a long list holds up nobody who stands at its head.
awaitable<result<listing>> reconciler::read_list(upstream& at, std::vector<task>& wanted) {
  listing seen;
  seen.asked_at = now();
  std::size_t offset = 0;
  for (std::size_t page = 0; page < most_pages && !seen.ended; ++page) {
    const auto started = steady_clock::now();
    const std::string path = list_path(page_size, offset);
    const exchange x = co_await at.fetch(path);
    std::string problem = x.problem;
    if (x.answered && x.status != 200)
      problem = "status " + std::to_string(x.status) + ": " + refusal_text(x.status, x.body);
    result<listed_page> said = fail(errc::upstream_unavailable, problem);
    if (problem.empty()) said = parse_list(x.body);
    metrics_.upstream_call(at.name(), "list", said ? "ok" : "error",
                           std::chrono::duration<double>(steady_clock::now() - started).count());
    if (!said) {
      said.error().retry_after_seconds = x.retry_after_seconds;
      co_return std::unexpected(std::move(said.error()));
    }
    const std::size_t jobs = said->jobs.size();
    // A page that is merely short proves nothing: what an upstream allows at most is not known.
    seen.ended = jobs == 0 || (said->has_more && !*said->has_more);
    for (const listed_job& j : said->jobs) {
      if (!is_marked(j.callback_url)) continue;
      const auto marked = [&](const task& t) {
        return t.marker != "" && j.callback_url.ends_with(marker_path(t));
      };
      const auto whose = std::ranges::find_if(wanted, marked);
      if (whose == wanted.end()) continue;
      task found = std::move(*whose);
      wanted.erase(whose);
      const task_event e = event::found{j.said, j.reply};
      co_await settle(found, e, at.name());
    }
    seen.add(std::move(said->jobs));
    offset += jobs;
    timestamp since = seen.asked_at;
    for (const task& t : wanted) since = std::min(since, needed_since(t));
    if (wanted.empty() || seen.covers(since)) break;
  }
  co_return seen;
}

awaitable<> reconciler::look_at(upstream* at, std::vector<task> due) {
  if (at == nullptr || at->speaks() != protocol::luma) {
    for (const task& t : due) {
      const task_event e = event::lookup_failed{at != nullptr, {}};
      co_await settle(t, e,
                      at == nullptr ? "an upstream that is not configured" : "a station, which has no list");
    }
    co_return;
  }
  auto seen = co_await read_list(*at, due);
  if (!seen && stopped_) co_return;  // cut off by ourselves
  if (!seen) {
    for (const task& t : due) {
      log_.warn("task {}: {}'s list cannot be read: {}; trying again", t.id, at->name(),
                seen.error().log.text);
      const task_event e =
          event::lookup_failed{false, milliseconds(1000 * std::min(seen.error().retry_after_seconds, 300))};
      co_await settle(t, e, at->name());
    }
    co_return;
  }
  if (seen->echoes()) at->saw_marker();
  // While our clock still follows a jump, times of the two sides cannot be compared: nothing is proven.
  const auto astray = std::chrono::abs(wall_clock() - now());
  const bool echoes = at->echoes_markers() && astray < clock_tolerance;

  // Every submission under way counts too: two equal ones must not take each other's job.
  auto submitting = store_.in_state(task_state::submitting, most_submitting);
  if (!submitting) throw std::runtime_error(submitting.error().log.text);
  std::erase_if(*submitting, [&](const task& t) { return t.upstream != at->name(); });
  std::vector<outgoing> sent;  // the suspicions refer to these two
  std::vector<suspicion> suspicions;
  sent.reserve(submitting->size());
  for (const task& t : *submitting) {
    auto request = submit_.request_for(t, *at);
    sent.push_back(request ? std::move(*request) : outgoing{});
    suspicions.push_back({t, sent.back()});
  }
  for (const suspicion& s : suspicions) {
    const bool is_due =
        is_ambiguous(s.of) && std::ranges::any_of(due, [&](const task& t) { return t.id == s.of.id; });
    if (!is_due) continue;
    // An error counts as "known": then nothing is adopted by mistake.
    const auto known = [&](const std::string& id) {
      const auto held =
          store_.holds(at->name(), id, s.of.attempted_at - policy_.submit_deadline - std::chrono::hours(24));
      return !held || *held;
    };
    const task_event e = look_for(s, *seen, suspicions, echoes, known);
    co_await settle(s.of, e, at->name());
  }
}

awaitable<> reconciler::settle(const task& t, task_event e, std::string_view upstream_name) {
  task next = advance(t, e, now(), policy_, random_share());
  if (next.state == task_state::queued || next.state == task_state::dreaming ||
      next.state == task_state::completed) {
    log_.warn("task {}: found in {}'s list as {}; it is followed from here", t.id, upstream_name,
              next.upstream_id);
  } else if (next.state == task_state::pending) {
    const auto* looked = std::get_if<event::absent>(&e);
    log_.warn("task {}: {}; it waits to be submitted again", t.id,
              looked != nullptr && looked->proven
                  ? std::string(upstream_name) + "'s list proves that it is not there"
                  : "it may or may not exist at " + std::string(upstream_name) +
                        " (submit.on_ambiguous = \"resubmit\")");
  } else if (next.state == task_state::failed) {
    log_.error("task {}: it failed: {}", t.id, next.fail_reason);
  }
  auto written = co_await save(store_, std::move(next));
  if (!written && written.error().code != errc::conflict) throw std::runtime_error(written.error().log.text);
}

void reconciler::stop() {
  stopped_ = true;
  alarm_.nudge();
}

}  // namespace relay
