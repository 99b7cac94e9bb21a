#pragma once

// Deletes what is no longer needed, a little at a time: idempotency records older than a day, and, when the
// configuration says so, tasks that ended long ago. Loop thread.

#include "common/base/time.hpp"
#include "server/asio.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class janitor {
 public:
  /// `keep_ended`: 0 keeps tasks indefinitely.
  janitor(asio::io_context& loop, store& s, milliseconds keep_ended, spdlog::logger& log)
      : store_(s), keep_ended_(keep_ended), log_(log), pause_(loop.get_executor()) {}

  /// Until stop().
  awaitable<> run();
  void stop();

 private:
  awaitable<std::int64_t> purge_tasks();

  store& store_;
  const milliseconds keep_ended_;
  spdlog::logger& log_;
  steady_timer pause_;
  bool stopped_ = false;
};

}  // namespace relay
