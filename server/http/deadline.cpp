#include "server/http/deadline.hpp"

namespace relay {

deadlines::entry::entry(deadlines& all, void (*fire)(void*), void* argument)
    : fire_(fire), argument_(argument), all_(all), next_(all.first_), link_(&all.first_) {
  if (next_ != nullptr) next_->link_ = &next_;
  all_.first_ = this;
}

deadlines::entry::~entry() {
  if (all_.cursor_ == this) all_.cursor_ = next_;
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
}

awaitable<> deadlines::run() {
  while (!stopped_) {
    timer_.expires_after(std::chrono::milliseconds(100));
    co_await timer_.async_wait(as_result);
    sweep();
  }
}

void deadlines::stop() {
  stopped_ = true;
  timer_.cancel();
}

void deadlines::expire_all() {
  expiring_ = true;
  sweep();
}

void deadlines::sweep() {
  // max() means "not armed"; everything else lies before it.
  const auto now =
      expiring_ ? steady_clock::time_point::max() - steady_clock::duration(1) : steady_clock::now();
  for (entry* e = first_; e != nullptr; e = cursor_) {
    cursor_ = e->next_;
    if (e->at_ > now) continue;
    e->disarm();
    e->fire_(e->argument_);
  }
  cursor_ = nullptr;
}

}  // namespace relay
