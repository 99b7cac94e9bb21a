#pragma once

// Sees to it that a deadline counts only time in which the relay ran (rule M11): marks on disk that it lives,
// and when the wall clock is far ahead, after a suspend, a pause of the container, or because it was set,
// moves the deadlines by as much before now() follows. Loop thread.

#include "server/asio.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class timekeeper {
 public:
  timekeeper(asio::io_context& loop, store& s, spdlog::logger& log)
      : store_(s), log_(log), timer_(loop.get_executor()) {}

  /// Before anything reads now() for a schedule: moves deadlines by the time in which no relay ran.
  /// Errors: those of the store.
  awaitable<result<void>> resume();
  /// Until stop().
  awaitable<> run();
  void stop();

 private:
  awaitable<> catch_up(milliseconds ahead);

  store& store_;
  spdlog::logger& log_;
  steady_timer timer_;
  bool stopped_ = false;
};

}  // namespace relay
