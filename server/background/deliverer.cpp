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

constexpr std::int64_t batch = 256;
constexpr std::int64_t max_per_turn = 1'024;  // callbacks looked at; the next turn goes on from there
constexpr std::size_t max_unreadable = 10'000;
constexpr milliseconds between_turns{10};
constexpr milliseconds after_untried{100};

// Scheme and authority; empty for what is no address.
std::string host_of(const std::string& url) {
  const auto to = parse_web_address(url);
  return to ? (to->at.tls ? "https://" : "http://") + to->at.authority() : std::string{};
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
  if (is_set(t.next_callback_at)) wake_.notify_by(t.next_callback_at);
}

awaitable<> deliverer::run() {
  while (!stopped_) {
    const timestamp time = now();
    const bool more = co_await deliver_due(time);
    timestamp at = now() + between_turns;
    if (!more) {
      // What is due and stayed waits for a slot, whose release notifies: only later ones set the timer.
      const auto next = co_await from_store(store_, &store::next_callback, time);
      at = next ? *next : never;
    }
    co_await wake_.wait(now(), at);
  }
}

// Walks over what is due, past hosts that are busy, until a whole round has started nothing. True: the round
// is not over, and goes on from cursor_.
awaitable<bool> deliverer::deliver_due(timestamp time) {
  for (std::int64_t looked_at = 0; looked_at < max_per_turn && !stopped_;) {
    const auto due = co_await from_store(store_, &store::due_callbacks, time, cursor_, batch);
    if (!due) {
      log_.error("cannot read the callbacks that are due, will try again: {}", due.error().log.text);
      co_return false;
    }
    if (stopped_) co_return false;
    for (const due_callback& c : *due) {
      if (!begin(c, time)) co_return false;
      ++looked_at;
    }
    // The end: once more from the start, while rounds still start something.
    if (std::ssize(*due) < batch) {
      cursor_ = {};
      if (!std::exchange(started_in_round_, false)) co_return false;
    }
  }
  co_return true;
}

// False: no more slots.
bool deliverer::begin(const due_callback& c, timestamp time) {
  if (slots_.full()) return false;
  cursor_ = c.place;
  if (delivering_.contains(c.task_id) || unreadable_.contains(c.task_id)) return true;
  delivery d{c.task_id, c.owner, host_of(c.url), false};
  switch (slots_.acquire(d.owner, d.host, time)) {
    case delivery_slots::verdict::full:
      return false;
    case delivery_slots::verdict::wait:
      return true;
    case delivery_slots::verdict::cool_down:
      d.cool_down = true;
      break;
    case delivery_slots::verdict::send:
      break;
  }
  delivering_.insert(d.task_id);
  started_in_round_ = true;
  auto work = deliver(std::move(d));
  asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
  return true;
}

awaitable<> deliverer::deliver(delivery d) {
  std::string thrown;
  try {
    co_await deliver_and_save(d);
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  if (!thrown.empty()) {
    log_.error("task {}: its callback ended by an exception, it is tried again: {}", d.task_id, thrown);
    steady_timer pause(loop_.get_executor());
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
  }
  delivering_.erase(d.task_id);
  slots_.finished(d.owner, d.host);
  wake_.notify();
}

awaitable<> deliverer::deliver_and_save(const delivery& d) {
  // The newest revision. A row that cannot be read is not tried again before a restart.
  const auto loaded = co_await load_task(store_, d.task_id);
  if (!loaded && loaded.error().code == errc::internal) {
    log_.error("task {}: its callback is not sent: {}", d.task_id, loaded.error().log.text);
    if (unreadable_.size() < max_unreadable) unreadable_.insert(d.task_id);
    co_return;
  }
  if (!loaded) throw std::runtime_error(loaded.error().log.text);
  const task_ptr& t = *loaded;
  // It may have been delivered, or put off, since it was read.
  if (!t || t->pending_callbacks.empty() || t->next_callback_at > now()) co_return;
  auto outcome = co_await send(*t, d);
  if (!outcome) {  // it stays due
    steady_timer pause(loop_.get_executor());
    pause.expires_after(after_untried);
    co_await pause.async_wait(as_result);
    co_return;
  }
  // The host's response goes on disk.
  log_outcome(*t, *outcome);
  fault_point("callback delivered, not recorded");
  const bool refused = std::holds_alternative<event::delivery_failed>(*outcome);
  const bool gone = refused && std::get<event::delivery_failed>(*outcome).gone;
  // Kept until the disk takes it: a client is not called again because our disk is full.
  const auto saved = co_await changes_.apply_surely(d.task_id, std::move(*outcome));
  if (saved && saved->changed() && refused && !gone && saved->after->pending_callbacks.empty()) {
    metrics_.callback_done("given_up");
    log_.error(
        "task {}: its callbacks are given up; `luma-relay task retry-callback {}` sends the last one "
        "again",
        d.task_id, d.task_id);
  }
}

// While a host has a cool-down, its callbacks move on along their schedule untried: a dead one piles nothing
// up. The last attempt is always a real one.
awaitable<std::optional<task_event>> deliverer::send(const task& t, const delivery& d) {
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
  if (sent.tried && sent.responded) slots_.succeeded(d.owner, d.host);
  if (sent.tried && !sent.responded) slots_.failed(d.owner, d.host, now(), random_share());
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
