#pragma once

// The store's writes as awaitables. Loop thread.

#include <boost/asio/async_result.hpp>

#include "server/asio.hpp"
#include "storage/store.hpp"

namespace relay {

template <class T, class Start>
awaitable<result<T>> await_written(Start start) {
  auto initiate = [&start](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    start(written<T>([shared](result<T> r) { std::move (*shared)(std::move(r)); }));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<executor>, void(result<T>)>(
      std::move(initiate), use_awaitable);
}

inline awaitable<result<inserted>> insert(store& s, task t, std::optional<claim> c) {
  auto start = [&](written<inserted> done) { s.insert(std::move(t), c, std::move(done)); };
  co_return co_await await_written<inserted>(std::move(start));
}

inline awaitable<result<task>> save(store& s, task t) {
  auto start = [&](written<task> done) { s.save(std::move(t), std::move(done)); };
  co_return co_await await_written<task>(std::move(start));
}

}  // namespace relay
