#include "server/watch.hpp"

namespace relay {
watch::waiter::waiter(watch& w, std::string id)
    : watch_(w), id_(std::move(id)), wake_(w.loop_.get_executor()) {
  watch_.waiting_.emplace(id_, this);
}

watch::waiter::~waiter() {
  auto [it, end] = watch_.waiting_.equal_range(id_);
  while (it != end && it->second != this) ++it;
  if (it != end) watch_.waiting_.erase(it);
}

awaitable<task_ptr> watch::waiter::until(bool (*enough)(const task&), steady_clock::duration at_most) {
  const auto end = steady_clock::now() + at_most;
  while (!watch_.closed_ && !(newest_ && enough(*newest_)) && steady_clock::now() < end) {
    wake_.expires_at(end);
    co_await wake_.async_wait(as_result);
  }
  co_return newest_;
}

void watch::close() {
  closed_ = true;
  for (const auto& [id, w] : waiting_) w->wake_.cancel();
}

void watch::notify(const task_ptr& t) {
  auto [it, end] = waiting_.equal_range(t->id);
  for (; it != end; ++it) {
    it->second->newest_ = t;
    it->second->wake_.cancel();
  }
}

}  // namespace relay
