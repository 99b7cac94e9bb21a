#pragma once

// The store's functions as awaitables. Loop thread.

#include <boost/asio/async_result.hpp>
#include <limits>

#include "server/asio.hpp"
#include "storage/store.hpp"

namespace relay {

/// `co_await from_store(s, &store::next_due, schedule::submit)`. Errors: those of the function.
template <class... P, class... A>
awaitable<result<completed_t<P...>>> from_store(store& s, void (store::*function)(P...), A... arguments) {
  using value = completed_t<P...>;
  // It begins when it is awaited, and owns its arguments until then.
  auto initiate = [&s, function, ... own = std::move(arguments)](auto handler) mutable {
    auto done = [handler = std::move(handler)](result<value> r) mutable { std::move(handler)(std::move(r)); };
    (s.*function)(std::move(own)..., completion<value>(std::move(done)));
  };
  return asio::async_initiate<const asio::use_awaitable_t<executor>, void(result<value>)>(std::move(initiate),
                                                                                          use_awaitable);
}

/// The owner's own task, from memory when it is there. Errors: those of store::find.
inline awaitable<result<task_ptr>> find_task(store& s, std::int64_t owner, std::string id) {
  if (task_ptr t = s.in_memory(id)) {
    if (!is_shown_to(*t, owner)) t = nullptr;
    co_return t;
  }
  co_return co_await from_store(s, &store::find, owner, std::move(id));
}

/// Any owner's. Errors: those of store::load.
inline awaitable<result<task_ptr>> load_task(store& s, std::string id) {
  if (task_ptr t = s.in_memory(id)) co_return t;
  co_return co_await from_store(s, &store::load, std::move(id));
}

/// Room for as many as are asked for.
inline constexpr std::size_t all_of_them = std::numeric_limits<std::size_t>::max();

/// The owner's own tasks, in the order of `ids`; at once when all are in memory. Errors: those of
/// store::find_many.
inline awaitable<result<std::vector<task_ptr>>> find_tasks(store& s, std::int64_t owner,
                                                           std::vector<std::string> ids) {
  std::vector<task_ptr> found;
  found.reserve(ids.size());
  for (const std::string& id : ids) {
    task_ptr t = s.in_memory(id);
    if (!t) break;
    found.push_back(std::move(t));
  }
  if (found.size() < ids.size()) {
    auto read = co_await from_store(s, &store::find_many, owner, std::move(ids), all_of_them);
    if (!read) co_return std::unexpected(std::move(read.error()));
    co_return std::move(read->tasks);
  }
  std::erase_if(found, [owner](const task_ptr& t) { return !is_shown_to(*t, owner); });
  co_return found;
}

}  // namespace relay
