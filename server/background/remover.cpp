#include "server/background/remover.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <map>

#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/wait_group.hpp"

namespace relay {
namespace {

constexpr std::int64_t batch = 100;
constexpr std::chrono::milliseconds between_rounds{200};
constexpr std::chrono::seconds pause_for{10};

}  // namespace

remover::remover(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, metrics& m,
                 spdlog::logger& log)
    : loop_(loop), store_(s), changes_(changes), upstreams_(all), metrics_(m), log_(log), wake_(loop) {}

void remover::saved(const task& t) {
  if (is_set(t.next_remove_at)) wake_.notify_by(t.next_remove_at);
}

void remover::stop() {
  stopped_ = true;
  wake_.notify();
}

awaitable<> remover::run() {
  while (!stopped_) {
    const auto due =
        co_await from_store(store_, &store::due, schedule::remove, now(), schedule_cursor{}, batch);
    std::map<upstream*, std::vector<task_ptr>> by_upstream;
    if (due) {
      for (const task_ptr& t : due->tasks) {
        by_upstream[upstreams_.find(t->upstream)].push_back(t);
      }
    }
    // One that does not respond delays none of another upstream's, but for the next round.
    wait_group round(loop_);
    for (auto& [at, tasks] : by_upstream) round.add(remove_all(at, std::move(tasks)));
    co_await round.wait();
    if (stopped_) break;
    const auto next = co_await from_store(store_, &store::next_due, schedule::remove);
    const timestamp time = now();
    const timestamp at = next.value_or(never);
    const timestamp until = is_set(at) ? std::max({at, time + between_rounds, paused_until_}) : never;
    co_await wake_.wait(time, until);
  }
}

// The disk takes no writes: nothing is asked that could not be noted.
void remover::pause() {
  paused_until_ = now() + pause_for;
}

awaitable<bool> remover::save(std::string id, task_event e) {
  const auto saved = co_await changes_.apply(std::move(id), std::move(e));
  co_return saved.has_value();
}

// The first failure is one for all: they are tried again later.
awaitable<> remover::remove_all(upstream* at, std::vector<task_ptr> tasks) {
  bool answers = true;
  for (const task_ptr& t : tasks) {
    if (stopped_ || now() < paused_until_) co_return;
    if (answers) answers = co_await remove(at, *t);
    if (answers) continue;
    task_event failed = event::removal_failed{};
    if (!co_await save(t->id, std::move(failed))) co_return pause();
  }
}

// False: it may still be there.
awaitable<bool> remover::remove(upstream* at, const task& t) {
  task_event removed = event::removed{};
  if (at == nullptr || at->speaks().build_remove == nullptr) {  // nobody to ask
    if (!co_await save(t.id, std::move(removed))) pause();
    co_return true;
  }
  ++in_flight_;
  const auto started = steady_clock::now();
  const std::string path = at->speaks().build_remove(t.upstream_id);
  const exchange x = co_await at->remove(path);
  --in_flight_;
  const bool gone =
      x.responded && ((x.status >= 200 && x.status < 300) || x.status == 404 || x.status == 410);
  metrics_.upstream_call(at->name(), "remove", gone ? "ok" : "failed",
                         std::chrono::duration<double>(steady_clock::now() - started).count());
  // One that it refuses for itself says nothing of the others.
  const bool is_its_own = x.responded && x.status >= 400 && x.status < 500 && x.status != 401 &&
                          x.status != 403 && x.status != 408 && x.status != 429;
  if (!gone) {
    log_.warn("task {}: upstream {} did not delete its job {}: {}; the DELETE is sent again later", t.id,
              at->name(), t.upstream_id, x.responded ? "status " + std::to_string(x.status) : x.problem);
    if (!is_its_own) co_return false;
    task_event failed = event::removal_failed{};
    if (!co_await save(t.id, std::move(failed))) pause();
    co_return true;
  }
  log_.info("task {}: deleted at upstream {} too", t.id, at->name());
  if (!co_await save(t.id, std::move(removed))) pause();
  co_return true;
}

}  // namespace relay
