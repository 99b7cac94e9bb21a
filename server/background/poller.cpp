#include "server/background/poller.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/upstream/outcome.hpp"

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

poller::poller(asio::io_context& loop, store& s, std::vector<std::unique_ptr<upstream>>& upstreams,
               const policy& p, std::int64_t concurrency, metrics& m, spdlog::logger& log)
    : loop_(loop),
      store_(s),
      policy_(p),
      concurrency_(static_cast<std::size_t>(concurrency)),
      metrics_(m),
      log_(log),
      alarm_(loop) {
  for (const auto& u : upstreams) {
    auto l = std::make_unique<lane>();
    l->name = u->name();
    l->from = u.get();
    l->limit = rate(u->settings().polls_per_second);
    lanes_.push_back(std::move(l));
  }
}

poller::lane* poller::lane_of(const std::string& name) {
  const auto found = std::ranges::find(lanes_, name, [](const auto& l) { return l->name; });
  return found == lanes_.end() ? nullptr : found->get();
}

void poller::saved(const task& t) {
  if (is_set(t.next_poll_at)) alarm_.consider(t.next_poll_at);
}

void poller::hint(const task& t) {
  lane* l = lane_of(t.upstream);
  if (l == nullptr || asking_.contains(t.id) || !hinted_.insert(t.id).second) return;
  l->ready.push_front(t.id);
  alarm_.nudge();
}

awaitable<> poller::run() {
  // Jobs of upstreams that are no longer configured still come to their deadline.
  if (auto names = store_.polled_upstreams()) {
    for (const std::string& name : *names) {
      if (lane_of(name) != nullptr) continue;
      log_.error(
          "there are open jobs of the upstream \"{}\", which is not configured; they fail at their deadline",
          name);
      auto l = std::make_unique<lane>();
      l->name = name;
      l->limit = rate(100);
      lanes_.push_back(std::move(l));
    }
  }
  while (!stopped_) {
    const timestamp time = now();
    timestamp at = never;
    for (const auto& l : lanes_) at = earlier(at, turn(*l, time));
    if (is_set(at)) at = std::max(at, time + shortest_sleep);
    co_await alarm_.wait(now(), at);
  }
}

// Asks as much as may be asked now. When to come back; `never`: when something changes.
timestamp poller::turn(lane& l, timestamp time) {
  if (time < l.not_before) return l.not_before;
  bool read = false;
  while (l.in_flight < concurrency_) {
    if (l.ready.empty()) {
      if (read) break;
      read = true;
      // Those in flight are still due on disk: read enough to see past them.
      auto due = store_.due_polls(
          l.name, time, static_cast<std::int64_t>(l.in_flight + std::max(read_ahead, concurrency_)));
      if (!due) {
        log_.error("cannot read the tasks to poll, will try again: {}", due.error().log.text);
        return time + std::chrono::seconds(1);
      }
      for (std::string& id : *due) {
        if (!asking_.contains(id)) l.ready.push_back(std::move(id));
      }
      if (l.ready.empty()) break;
    }
    auto t = store_.load(l.ready.front());
    const bool called = hinted_.contains(l.ready.front());
    const bool wanted = t && *t && is_set((*t)->next_poll_at) && ((*t)->next_poll_at <= time || called) &&
                        !asking_.contains((*t)->id);
    if (wanted && !l.limit.take(time)) return l.limit.next();
    hinted_.erase(l.ready.front());
    l.ready.pop_front();
    if (!wanted) continue;
    asking_.insert((*t)->id);
    ++l.in_flight;
    auto question = ask(l, std::move(*t));
    asio::co_spawn(loop_.get_executor(), std::move(question), asio::detached);
  }
  if (!l.ready.empty()) return never;  // the end of a question comes back for them
  auto next = store_.next_poll(l.name, time);
  return next ? *next : time + std::chrono::seconds(1);
}

awaitable<> poller::ask(lane& l, task_ptr t) {
  try {
    co_await ask_and_save(l, *t);
  } catch (const std::exception& e) {
    log_.error("task {}: a poll ended by an exception, it is asked about again: {}", t->id, e.what());
  }
  asking_.erase(t->id);
  --l.in_flight;
  if (!l.ready.empty() || l.in_flight + 1 == concurrency_) alarm_.nudge();
}

awaitable<> poller::ask_and_save(lane& l, const task& t) {
  poll_outcome outcome{event::poll_failed{}, "error", "no upstream of this name is configured", {}};
  if (l.from != nullptr) {
    const auto started = steady_clock::now();
    const std::string path = fetch_path(l.from->speaks(), t.upstream_id);
    const exchange x = co_await l.from->fetch(path);
    if (!x.answered && stopped_) co_return;  // cut off by ourselves: it says nothing of the job
    outcome = classify_poll(x);
    metrics_.upstream_call(l.name, "poll", outcome.name,
                           std::chrono::duration<double>(steady_clock::now() - started).count());
  }
  const timestamp time = now();
  if (outcome.hold_off.count() > 0) l.not_before = std::max(l.not_before, time + outcome.hold_off);
  task next = advance(t, outcome.event, time, policy_, random_share());
  if (!outcome.note.empty()) {
    log_.warn("task {}: {} did not tell how it stands: {}; next question at {}", t.id, l.name, outcome.note,
              is_set(next.next_poll_at) ? to_iso(next.next_poll_at, precision::milliseconds) : "-");
  }
  if (next.state != t.state) log_.info("task {}: {} at {}", t.id, name_of(next.state), l.name);
  auto written = co_await save(store_, std::move(next));
  if (!written && written.error().code != errc::conflict) {
    log_.error("task {}: cannot record what {} said, it is asked again: {}", t.id, l.name,
               written.error().log.text);
    // It is still due on disk: not at once again.
    steady_timer pause(loop_.get_executor());
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
  }
}

void poller::stop() {
  stopped_ = true;
  alarm_.nudge();
}

}  // namespace relay
