#include "server/background/poller.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/engine/list_walk.hpp"
#include "common/engine/outcome.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"

namespace relay {
namespace {

constexpr std::size_t read_ahead = 256;
// Turns are taken together when jobs fall due one after the other.
constexpr milliseconds shortest_sleep{5};

timestamp earlier(timestamp a, timestamp b) {
  if (!is_set(a) || !is_set(b)) return std::max(a, b);
  return std::min(a, b);
}

}  // namespace

poller::poller(asio::io_context& loop, store& s, task_changes& changes,
               std::vector<std::unique_ptr<upstream>>& upstreams, std::int64_t concurrency, metrics& m,
               spdlog::logger& log)
    : loop_(loop),
      store_(s),
      changes_(changes),
      concurrency_(static_cast<std::size_t>(concurrency)),
      metrics_(m),
      log_(log),
      wake_(loop) {
  for (const auto& u : upstreams) {
    auto l = std::make_unique<poll_lane>();
    l->name = u->name();
    l->from = u.get();
    l->limit = rate(u->settings().polls_per_second);
    lanes_.push_back(std::move(l));
  }
}

poller::poll_lane* poller::lane_of(const std::string& name) {
  const auto found = std::ranges::find(lanes_, name, [](const auto& l) { return l->name; });
  return found == lanes_.end() ? nullptr : found->get();
}

void poller::saved(const task& t) {
  if (is_set(t.next_poll_at)) wake_.notify_by(t.next_poll_at);
}

void poller::hint(const task_ptr& t) {
  poll_lane* l = lane_of(t->upstream);
  if (l == nullptr || polling_.contains(t->id) || !hinted_.insert(t->id).second) return;
  l->ready.push_front(t);
  wake_.notify();
}

awaitable<> poller::run() {
  co_await add_unconfigured_lanes();
  while (!stopped_) {
    const timestamp time = now();
    timestamp at = never;
    for (const auto& l : lanes_) {
      const timestamp next = co_await poll_due(*l, time);
      at = earlier(at, next);
    }
    if (is_set(at)) at = std::max(at, time + shortest_sleep);
    co_await wake_.wait(now(), at);
  }
}

// Jobs of upstreams that are no longer configured still come to their deadline.
awaitable<> poller::add_unconfigured_lanes() {
  const auto names = co_await from_store(store_, &store::polled_upstreams);
  if (!names) co_return;
  for (const std::string& name : *names) {
    if (lane_of(name) != nullptr) continue;
    log_.error(
        "there are open jobs of the upstream \"{}\", which is not configured; they fail at their deadline",
        name);
    auto l = std::make_unique<poll_lane>();
    l->name = name;
    l->limit = rate(100);
    lanes_.push_back(std::move(l));
  }
}

bool poller::should_poll(const task& t, timestamp time) const {
  return is_set(t.next_poll_at) && (t.next_poll_at <= time || hinted_.contains(t.id)) &&
         !polling_.contains(t.id);
}

// False: the tasks cannot be read now.
awaitable<bool> poller::read_due(poll_lane& l, timestamp time) {
  // Those in flight are still due on disk: read enough to see past them.
  const auto limit = static_cast<std::int64_t>(l.in_flight + std::max(read_ahead, concurrency_));
  auto due = co_await from_store(store_, &store::due_polls, l.name, time, limit);
  if (due) std::erase_if(*due, [this](const std::string& id) { return polling_.contains(id); });
  result<std::vector<task_ptr>> tasks;
  if (due && !due->empty()) tasks = co_await from_store(store_, &store::load_many, std::move(*due));
  if (!due || !tasks) {
    log_.error("cannot read the tasks to poll, will try again: {}",
               due ? tasks.error().log.text : due.error().log.text);
    co_return false;
  }
  for (task_ptr& t : *tasks) l.ready.push_back(std::move(t));
  co_return true;
}

// Polls as much as may be polled now. When to come back; `never`: when something changes.
awaitable<timestamp> poller::poll_due(poll_lane& l, timestamp time) {
  if (time < l.cool_down_until) co_return l.cool_down_until;
  bool read = false;
  while (l.in_flight < concurrency_ && !stopped_) {
    if (l.ready.empty()) {
      if (std::exchange(read, true)) break;
      const bool readable = co_await read_due(l, time);
      if (!readable) co_return time + std::chrono::seconds(1);
      if (l.ready.empty()) break;
    }
    // It may have changed since it was read.
    const std::string id = l.ready.front()->id;
    const auto newest = co_await load_task(store_, id);
    if (stopped_ || l.ready.front()->id != id) continue;  // a hint came meanwhile
    if (!newest || !*newest) {
      hinted_.erase(id);
      l.ready.pop_front();
      continue;
    }
    task_ptr t = *newest;
    const bool poll_it = should_poll(*t, time);
    if (poll_it && !l.limit.take(time)) co_return l.limit.next();
    hinted_.erase(t->id);
    l.ready.pop_front();
    if (!poll_it) continue;
    polling_.insert(t->id);
    ++l.in_flight;
    auto work = poll(l, std::move(t));
    asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
  }
  if (!l.ready.empty()) co_return never;  // the end of a poll comes back for them
  const auto next = co_await from_store(store_, &store::next_poll, l.name, time);
  co_return next ? *next : time + std::chrono::seconds(1);
}

awaitable<> poller::poll(poll_lane& l, task_ptr t) {
  try {
    co_await poll_and_save(l, *t);
  } catch (const std::exception& e) {
    log_.error("task {}: a poll ended by an exception, it is polled again: {}", t->id, e.what());
  }
  polling_.erase(t->id);
  --l.in_flight;
  if (!l.ready.empty() || l.in_flight + 1 == concurrency_) wake_.notify();
}

awaitable<> poller::poll_and_save(poll_lane& l, const task& t) {
  poll_outcome outcome{event::poll_failed{}, "error", "no upstream of this name is configured", {}};
  if (l.from != nullptr) {
    const auto started = steady_clock::now();
    const std::string path = l.from->speaks().build_fetch(t.upstream_id);
    const exchange x = co_await l.from->fetch(path);
    if (!x.responded && stopped_) co_return;  // cut off by ourselves: it says nothing of the job
    outcome = classify_poll(x, l.from->speaks());
    if (std::holds_alternative<event::polled>(outcome.event)) l.well_at = now();
    // Rule M9: one that knows no job at all has lost its mind, not this job.
    if (auto* failed = std::get_if<event::poll_failed>(&outcome.event);
        failed != nullptr && failed->not_found) {
      failed->not_found = co_await is_well(l);
      if (!failed->not_found) outcome.note += "; it knows no other job either, so this does not count";
    }
    metrics_.upstream_call(l.name, "poll", outcome.name,
                           std::chrono::duration<double>(steady_clock::now() - started).count());
  }
  if (outcome.cool_down.count() > 0)
    l.cool_down_until = std::max(l.cool_down_until, now() + outcome.cool_down);
  auto saved = co_await changes_.apply(t.id, std::move(outcome.event));
  if (!saved) {
    if (saved.error().code == errc::task_not_found) co_return;
    log_.error("task {}: cannot record what {} reported, it is polled again: {}", t.id, l.name,
               saved.error().log.text);
    // It is still due on disk: not at once again.
    steady_timer pause(loop_.get_executor());
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
    co_return;
  }
  const task& next = *saved->after;
  if (!outcome.note.empty()) {
    log_.warn("task {}: {} did not report how it stands: {}; next poll at {}", t.id, l.name, outcome.note,
              is_set(next.next_poll_at) ? to_iso(next.next_poll_at, precision::milliseconds) : "-");
  }
  if (next.state != saved->before->state) log_.info("task {}: {} at {}", t.id, name_of(next.state), l.name);
}

// It answered for another job within the last minute, or its list can be read now.
awaitable<bool> poller::is_well(poll_lane& l) {
  constexpr std::chrono::minutes recent{1};
  const protocol& p = l.from->speaks();
  if (p.build_list != nullptr && (!is_set(l.well_at) || l.well_at + recent < now()) &&
      (!is_set(l.checked_at) || l.checked_at + recent < now())) {
    l.checked_at = now();
    page_reader page(p);
    const std::string path = p.build_list(1, 0);
    body_sink sink = [&page](std::string_view part) { page.feed(part); };
    const exchange x = co_await l.from->fetch_list(path, std::move(sink));
    const auto first = page.end();
    if (x.responded && x.status == 200 && first && !first->jobs.empty()) l.well_at = now();
  }
  co_return is_set(l.well_at) && l.well_at + recent >= now();
}

void poller::stop() {
  stopped_ = true;
  wake_.notify();
}

}  // namespace relay
