#include "server/watch.hpp"

#include <algorithm>

namespace relay {

watch::waiter::waiter(watch& w, std::vector<std::string> ids)
    : watch_(w), ids_(std::move(ids)), wake_(w.loop_.get_executor()), newest_(ids_.size()) {
  for (std::size_t i = 0; i < ids_.size(); ++i)
    places_.push_back(watch_.waiting_.emplace(ids_[i], place{.of = this, .index = i}));
}

watch::waiter::waiter(watch& w, std::string id) : waiter(w, std::vector{std::move(id)}) {}

watch::waiter::~waiter() {
  for (const auto& at : places_) watch_.waiting_.erase(at);
}

awaitable<> watch::waiter::sleep_until(steady_clock::time_point end) {
  wake_.expires_at(end);
  co_await wake_.async_wait(as_result);
}

awaitable<task_ptr> watch::waiter::until(std::function<bool(const task&)> enough,
                                         steady_clock::time_point end, on_drain d,
                                         std::function<bool()> may_wait) {
  while (!over(d) && !(newest_[0] && enough(*newest_[0])) && steady_clock::now() < end && may_wait())
    co_await sleep_until(end);
  co_return newest_[0];
}

awaitable<std::vector<task_ptr>> watch::waiter::changes(steady_clock::duration at_most) {
  const auto end = steady_clock::now() + at_most;
  const auto any = [this] {
    return std::ranges::any_of(newest_, [](const task_ptr& t) { return t != nullptr; });
  };
  const std::uint64_t before = watch_.looks_;
  while (!over() && !any() && watch_.looks_ == before && steady_clock::now() < end) co_await sleep_until(end);
  std::vector<task_ptr> out;
  for (task_ptr& t : newest_) {
    if (t) out.push_back(std::exchange(t, nullptr));
  }
  co_return out;
}

void watch::wake_all() {
  for (const auto& [id, at] : waiting_) at.of->wake_.cancel();
}

void watch::look_again() {
  ++looks_;
  wake_all();
}

void watch::drain() {
  draining_ = true;
  wake_all();
}

void watch::close() {
  closed_ = true;
  wake_all();
}

void watch::notify(const task_ptr& t) {
  auto [it, end] = waiting_.equal_range(t->id);
  for (; it != end; ++it) {
    waiter& w = *it->second.of;
    w.newest_[it->second.index] = t;
    w.wake_.cancel();
  }
}

}  // namespace relay
