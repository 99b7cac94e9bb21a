#include "server/background/deliverer.hpp"

#include <spdlog/logger.h>

#include "common/base/fault_point.hpp"
#include "common/base/text.hpp"
#include "common/base/url.hpp"
#include "common/engine/callbacks.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"

namespace relay {
namespace {

constexpr int max_per_turn = 1'024;  // callbacks begun or put aside; others run in between
constexpr std::size_t max_unreadable = 10'000;
constexpr milliseconds after_untried{100};
constexpr std::chrono::seconds again{1};

// Scheme and authority; empty for what is no address.
std::string host_of(const std::string& url) {
  const auto to = parse_web_address(url);
  return to ? (to->at.tls ? "https://" : "http://") + to->at.authority() : std::string{};
}

std::string key_of(std::int64_t owner) {
  return std::to_string(owner);
}
std::string key_of(std::int64_t owner, const std::string& host) {
  return key_of(owner) + " " + host;
}

}  // namespace

deliverer::deliverer(asio::io_context& loop, deadlines& d, resolver& names, store& s, task_changes& changes,
                     const callbacks_config& c, metrics& m, spdlog::logger& log)
    : loop_(loop),
      store_(s),
      changes_(changes),
      metrics_(m),
      log_(log),
      sender_(loop, d, names, s, c),
      slots_(static_cast<std::size_t>(c.concurrency), static_cast<std::size_t>(c.per_host)),
      wake_(loop) {}

void deliverer::saved(const task& t) {
  if (is_set(t.next_callback_at)) {
    schedule_.set(t.id, t.owner, t.next_callback_at);
    wake_.notify_by(t.next_callback_at);
  } else {
    schedule_.erase(t.id);
  }
}

awaitable<> deliverer::run() {
  while (!stopped_) {
    const bool read = co_await read_schedule();
    if (read) break;
    co_await wake_.wait(now(), now() + again);
  }
  while (!stopped_) {
    const timestamp at = co_await deliver_due(now());
    co_await wake_.wait(now(), at);
  }
}

// What earlier processes left. What was saved meanwhile is newer.
awaitable<bool> deliverer::read_schedule() {
  const auto all = co_await from_store(store_, &store::pending_callbacks);
  if (!all) {
    log_.error("cannot read which callbacks are pending, will try again: {}", all.error().log.text);
    co_return false;
  }
  for (const pending_callback& c : *all) {
    if (!schedule_.contains(c.task_id)) schedule_.set(c.task_id, c.owner, c.at);
  }
  co_return true;
}

// When to come back; `never`: when something changes.
awaitable<timestamp> deliverer::deliver_due(timestamp time) {
  for (int n = 0; n < max_per_turn && !stopped_; ++n) {
    if (slots_.full()) co_return never;  // the end of a delivery comes back for it
    auto next = schedule_.pop(time);
    if (!next) break;
    co_await begin(std::move(*next), time);
  }
  co_return schedule_.next();
}

// Starts one whose turn it is, or puts it aside.
awaitable<> deliverer::begin(turn_schedule::entry next, timestamp time) {
  if (unreadable_.contains(next.task_id)) co_return;
  // The end of the one that is under way comes back for it.
  if (const auto found = delivering_.find(next.task_id); found != delivering_.end()) {
    found->second = true;
    co_return;
  }
  auto loaded = co_await load_task(store_, next.task_id);
  if (!loaded && loaded.error().code == errc::internal) {  // not tried again before a restart
    log_.error("task {}: its callback is not sent: {}", next.task_id, loaded.error().log.text);
    if (unreadable_.size() < max_unreadable) unreadable_.insert(next.task_id);
    co_return;
  }
  if (!loaded) {
    log_.error("task {}: its callback cannot be read, trying again: {}", next.task_id,
               loaded.error().log.text);
    schedule_.set(next.task_id, next.owner, time + again);
    co_return;
  }
  // It may have been delivered, or put off, since its time was set.
  const task_ptr t = std::move(*loaded);
  if (!t || t->pending_callbacks.empty()) co_return;
  if (t->next_callback_at > time) co_return schedule_.set(t->id, t->owner, t->next_callback_at);

  delivery d{t, host_of(t->callback_url), false};
  switch (slots_.acquire(t->owner, d.host, time)) {
    case delivery_slots::verdict::full:
      co_return schedule_.set(t->id, t->owner, t->next_callback_at);
    case delivery_slots::verdict::busy_owner:
      co_return set_aside(key_of(t->owner), *t);
    case delivery_slots::verdict::busy_host:
      co_return set_aside(key_of(t->owner, d.host), *t);
    case delivery_slots::verdict::cool_down:
      d.cool_down = true;
      break;
    case delivery_slots::verdict::send:
      break;
  }
  delivering_.emplace(t->id, false);
  auto work = deliver(std::move(d));
  asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
}

void deliverer::set_aside(const std::string& key, const task& t) {
  if (aside_ids_.insert(t.id).second) aside_[key].push_back({t.id, t.owner, t.next_callback_at});
}

// The oldest of them stand in line again.
void deliverer::take_back(const std::string& key, std::size_t most) {
  const auto found = aside_.find(key);
  if (found == aside_.end()) return;
  std::deque<aside>& waiting = found->second;
  for (; most > 0 && !waiting.empty(); --most) {
    const aside& a = waiting.front();
    aside_ids_.erase(a.task_id);
    schedule_.set(a.task_id, a.owner, a.at);
    waiting.pop_front();
  }
  if (waiting.empty()) aside_.erase(found);
}

awaitable<> deliverer::deliver(delivery d) {
  const std::string& id = d.of->id;
  const std::int64_t owner = d.of->owner;
  bool recorded = false;
  std::string thrown;
  try {
    recorded = co_await deliver_and_save(d);
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  if (!thrown.empty()) {
    log_.error("task {}: its callback ended by an exception, it is tried again: {}", id, thrown);
    steady_timer pause(loop_.get_executor());
    pause.expires_after(again);
    co_await pause.async_wait(as_result);
  }
  const bool due_again = delivering_.extract(id).mapped();
  slots_.finished(owner, d.host);
  // What was recorded has set the time of the next one.
  if (!recorded || due_again) schedule_.set(id, owner, now());
  take_back(key_of(owner, d.host), slots_.free_at(owner, d.host));
  take_back(key_of(owner), slots_.free_for(owner));
  wake_.notify();
}

// True: its task was changed.
awaitable<bool> deliverer::deliver_and_save(const delivery& d) {
  const task& t = *d.of;
  auto outcome = co_await send(d);
  if (!outcome) {  // it stays due
    steady_timer pause(loop_.get_executor());
    pause.expires_after(after_untried);
    co_await pause.async_wait(as_result);
    co_return false;
  }
  // The host's response goes on disk.
  log_outcome(t, *outcome);
  fault_point("callback delivered, not recorded");
  const bool refused = std::holds_alternative<event::delivery_failed>(*outcome);
  const bool gone = refused && std::get<event::delivery_failed>(*outcome).gone;
  // Kept until the disk takes it: a client is not called again because our disk is full.
  const auto saved = co_await changes_.apply_surely(t.id, std::move(*outcome));
  if (!saved || !saved->changed()) co_return false;
  if (refused && !gone && saved->after->pending_callbacks.empty()) {
    metrics_.callback_done("given_up");
    log_.error(
        "task {}: its callbacks are given up; `luma-relay task retry-callback {}` sends the last one "
        "again",
        t.id, t.id);
  }
  co_return true;
}

// While a host has a cool-down, its callbacks move on along their schedule untried: a dead one piles nothing
// up. The last attempt is always a real one.
awaitable<std::optional<task_event>> deliverer::send(const delivery& d) {
  const task& t = *d.of;
  const bool last =
      static_cast<std::size_t>(t.callback_attempts) >= changes_.limits().callback_retries.size();
  if (d.cool_down && !last) {
    co_return event::delivery_failed{
        "the host did not respond to others either; not tried", false, {}, t.callbacks_done};
  }
  callback_sender::sent sent;
  std::string thrown;
  try {
    sent = co_await sender_.send(t);
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  if (!thrown.empty())
    sent.event = event::delivery_failed{"the relay failed: " + thrown, false, {}, t.callbacks_done};
  // Only what was tried says something of the host.
  if (sent.tried && sent.responded) slots_.succeeded(t.owner, d.host);
  if (sent.tried && !sent.responded) slots_.failed(t.owner, d.host, now(), random_share());
  co_return std::move(sent.event);
}

void deliverer::log_outcome(const task& t, const task_event& e) {
  const std::string host = for_log(host_of(t.callback_url));
  if (const auto* failed = std::get_if<event::delivery_failed>(&e)) {
    log_.warn("task {}: callback {} (attempt {}) was not accepted by {}: {}{}", t.id, message_id(t),
              t.callback_attempts + 1, host, failed->problem,
              failed->gone ? "; no more callbacks for this task" : "");
  } else {
    log_.info("task {}: callback {} was accepted by {}", t.id, message_id(t), host);
  }
  metrics_.callback_done(std::holds_alternative<event::delivered>(e) ? "delivered" : "failed");
}

void deliverer::stop() {
  stopped_ = true;
  wake_.notify();
}

}  // namespace relay
