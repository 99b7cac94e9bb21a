#pragma once

// Several pieces of work at once, and the wait for the last of them. Loop thread; outlives its work.

#include <exception>
#include <utility>

#include "server/asio.hpp"

namespace relay {

class wait_group {
 public:
  explicit wait_group(asio::io_context& loop) : loop_(loop), ended_(loop.get_executor()) {}

  void add(awaitable<> work) {
    ++running_;
    auto on_end = [this](const std::exception_ptr& thrown) {
      if (thrown) thrown_ = thrown;
      if (--running_ == 0) ended_.cancel();
    };
    asio::co_spawn(loop_.get_executor(), std::move(work), std::move(on_end));
  }
  /// Rethrows the last exception that ended one of them.
  awaitable<> wait() {
    while (running_ > 0) {
      ended_.expires_at(steady_clock::time_point::max());
      co_await ended_.async_wait(as_result);
    }
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }

 private:
  asio::io_context& loop_;
  steady_timer ended_;
  std::size_t running_ = 0;
  std::exception_ptr thrown_;
};

}  // namespace relay
