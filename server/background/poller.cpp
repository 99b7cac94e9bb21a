#include "server/background/poller.hpp"

#include <spdlog/logger.h>

#include "server/await_store.hpp"
#include "server/entropy.hpp"
#include "server/upstream/outcome.hpp"

namespace relay {

poller::poller(asio::io_context& loop, store& s, std::vector<std::unique_ptr<upstream>>& upstreams,
               const policy& p, std::int64_t concurrency, metrics& m, spdlog::logger& log)
    : loop_(loop),
      store_(s),
      upstreams_(upstreams),
      policy_(p),
      concurrency_(static_cast<std::size_t>(concurrency)),
      metrics_(m),
      log_(log),
      alarm_(loop) {}

upstream* poller::find(const std::string& name) const {
  for (const auto& u : upstreams_) {
    if (u->name() == name) return u.get();
  }
  return nullptr;
}

void poller::saved(const task& t) {
  if (is_set(t.next_poll_at)) alarm_.consider(t.next_poll_at);
}

awaitable<> poller::run() {
  while (!stopped_) {
    const timestamp now = wall_now();
    // Those in flight are still due on disk: read enough to see past them.
    auto due = store_.due(schedule::poll, now, static_cast<std::int64_t>(2 * concurrency_), 0);
    if (!due) log_.error("cannot read the tasks to poll, will try again: {}", due.error().log.text);
    bool more = false;
    std::vector<task> list = due ? std::move(*due) : std::vector<task>{};
    for (task& t : list) {
      if (asking_.contains(t.id)) continue;
      if (asking_.size() >= concurrency_) {
        more = true;
        break;
      }
      asking_.insert(t.id);
      auto question = ask(std::move(t));
      asio::co_spawn(loop_.get_executor(), std::move(question), asio::detached);
    }
    timestamp at = never;
    if (!more) {
      if (auto next = store_.next_due(schedule::poll); next && *next > now) at = *next;
    }
    co_await alarm_.wait(wall_now(), at);
  }
}

awaitable<> poller::ask(task t) {
  const std::string id = t.id;
  try {
    co_await ask_and_save(std::move(t));
  } catch (const std::exception& e) {
    log_.error("task {}: a poll ended by an exception, it is asked about again: {}", id, e.what());
  }
  asking_.erase(id);
  alarm_.nudge();
}

awaitable<> poller::ask_and_save(task t) {
  poll_outcome outcome{event::poll_failed{}, "error", "no upstream of this name is configured"};
  if (upstream* from = find(t.upstream)) {
    const auto started = steady_clock::now();
    const std::string path = fetch_path(from->speaks(), t.upstream_id);
    const exchange x = co_await from->fetch(path);
    outcome = classify_poll(x);
    metrics_.upstream_call(from->name(), "poll", outcome.name,
                           std::chrono::duration<double>(steady_clock::now() - started).count());
  }
  task next = advance(t, outcome.event, wall_now(), policy_, random_share());
  if (!outcome.note.empty()) {
    log_.warn("task {}: {} did not tell how it stands: {}; next question at {}", t.id, t.upstream,
              outcome.note,
              is_set(next.next_poll_at) ? to_iso(next.next_poll_at, precision::milliseconds) : "-");
  }
  if (next.state != t.state) log_.info("task {}: {} at {}", t.id, name_of(next.state), t.upstream);
  auto written = co_await save(store_, std::move(next));
  if (!written && written.error().code != errc::conflict) {
    log_.error("task {}: cannot record what {} said, it is asked again: {}", t.id, t.upstream,
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
