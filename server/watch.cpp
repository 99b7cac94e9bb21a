#include "server/watch.hpp"

namespace relay {
namespace {

bool is_settled(const task_ptr& t) {
  return t && t->state != task_state::submitting && t->state != task_state::pending;
}

}  // namespace

watch::waiter::waiter(watch& w, std::string id)
    : watch_(w), id_(std::move(id)), wake_(w.loop_.get_executor()) {
  watch_.waiting_.emplace(id_, this);
}

watch::waiter::~waiter() {
  auto [it, end] = watch_.waiting_.equal_range(id_);
  while (it != end && it->second != this) ++it;
  if (it != end) watch_.waiting_.erase(it);
}

awaitable<task_ptr> watch::waiter::submitted(steady_clock::duration at_most) {
  const auto until = steady_clock::now() + at_most;
  while (!is_settled(newest_) && steady_clock::now() < until) {
    // A task that went back to pending was refused by every upstream for now: that is all there is to say.
    if (newest_ && newest_->state == task_state::pending) break;
    wake_.expires_at(until);
    co_await wake_.async_wait(as_result);
  }
  co_return newest_;
}

void watch::notify(const task_ptr& t) {
  auto [it, end] = waiting_.equal_range(t->id);
  for (; it != end; ++it) {
    it->second->newest_ = t;
    it->second->wake_.cancel();
  }
}

}  // namespace relay
