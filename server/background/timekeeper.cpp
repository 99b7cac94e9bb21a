#include "server/background/timekeeper.hpp"

#include <spdlog/logger.h>

#include "server/await_store.hpp"
#include "server/clock.hpp"

namespace relay {
namespace {

constexpr std::chrono::milliseconds tick{500};
constexpr int ticks_between_marks = 10;
// Between two reads of the clock; the loop reads it once a tick at least.
constexpr std::chrono::seconds longest_step{1};
// Less is followed by going faster.
constexpr std::chrono::seconds tolerated{2};

}  // namespace

awaitable<result<void>> timekeeper::resume() {
  // What is longer is a pause, in which nothing ran.
  this_threads_clock().leave_out_pauses(longest_step);
  const auto down = co_await from_store(store_, &store::resume, now());
  if (!down) co_return std::unexpected(down.error());
  if (*down >= std::chrono::seconds(1))
    log_.info("no relay ran for {} s: this does not count against deadlines", down->count() / 1'000);
  co_return result<void>{};
}

awaitable<> timekeeper::catch_up(milliseconds ahead) {
  const auto moved = co_await from_store(store_, &store::extend_deadlines, ahead);
  if (!moved) {
    log_.error("the clock is {} s ahead, and the deadlines cannot be moved, trying again: {}",
               ahead.count() / 1'000, moved.error().log.text);
    co_return;
  }
  this_threads_clock().step_to(now() + ahead);
  log_.warn(
      "the clock is {} s ahead of the time the relay ran: it was suspended, or the clock was set; the "
      "deadlines of "
      "{} jobs were moved by as much",
      ahead.count() / 1'000, *moved);
}

awaitable<> timekeeper::run() {
  for (int ticks = 0; !stopped_; ++ticks) {
    const auto ahead = std::chrono::floor<milliseconds>(wall_clock() - now());
    if (ahead > tolerated) co_await catch_up(ahead);
    // A mark that cannot be written makes a deadline longer after a restart, no more.
    if (ahead > tolerated || ticks % ticks_between_marks == 0)
      co_await from_store(store_, &store::mark_alive, now());
    if (stopped_) break;
    timer_.expires_after(tick);
    co_await timer_.async_wait(as_result);
  }
}

void timekeeper::stop() {
  stopped_ = true;
  timer_.cancel();
}

}  // namespace relay
