#pragma once

// One thread for the files that clients upload: the loop thread waits for none of their bytes.

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <exception>
#include <type_traits>

#include "server/asio.hpp"

namespace relay {

class file_thread {
 public:
  explicit file_thread(asio::io_context& loop) : loop_(loop) {}
  /// Joins, after what was posted.
  ~file_thread() { pool_.join(); }

  /// Loop thread: runs `work` there; its value, or what it throws, on the loop.
  template <class Work, class Value = std::invoke_result_t<Work&>>
  awaitable<Value> run(Work work) {
    auto initiate = [this](auto handler, Work w) {
      auto job = [this, handler = std::move(handler), w = std::move(w)]() mutable {
        Value value{};
        std::exception_ptr thrown;
        try {
          value = w();
        } catch (...) {
          thrown = std::current_exception();
        }
        auto end = [handler = std::move(handler), thrown, value = std::move(value)]() mutable {
          std::move(handler)(thrown, std::move(value));
        };
        asio::post(loop_.get_executor(), std::move(end));
      };
      asio::post(pool_, std::move(job));
    };
    return asio::async_initiate<const asio::use_awaitable_t<executor>, void(std::exception_ptr, Value)>(
        std::move(initiate), use_awaitable, std::move(work));
  }

  /// Any thread: `work` is done there, at some time.
  template <class Work>
  void post(Work work) {
    asio::post(pool_, std::move(work));
  }

 private:
  asio::io_context& loop_;
  asio::thread_pool pool_{1};
};

}  // namespace relay
