#include "server/large_texts.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace relay {

awaitable<large_texts::room> large_texts::wait_for_room(std::size_t bytes) {
  // Nobody overtakes those that wait.
  if (!waiting_.empty() || !fits(bytes)) {
    const auto mine = waiting_.emplace(waiting_.end(), loop_.get_executor());
    do {
      mine->expires_at(steady_clock::time_point::max());
      co_await mine->async_wait(as_result);
    } while (mine != waiting_.begin() || !fits(bytes));
    waiting_.erase(mine);
  }
  used_ += bytes;
  // There may be room for the next one too.
  if (!waiting_.empty()) waiting_.front().cancel();
  co_return room(this, bytes);
}

void large_texts::give_back(std::size_t bytes) {
  used_ -= bytes;
  if (!waiting_.empty()) waiting_.front().cancel();
}

awaitable<result<std::string>> large_texts::render(const task_form& how, task_ptr t, showing with) {
  auto initiate = [this, &how, t = std::move(t), with](auto handler) mutable {
    auto work = [this, &how, t = std::move(t), with, handler = std::move(handler)]() mutable {
      auto made = how.render(*t, with);
      t.reset();
      asio::post(loop_.get_executor(), [handler = std::move(handler), made = std::move(made)]() mutable {
        std::move(handler)(std::move(made));
      });
    };
    asio::post(thread_, std::move(work));
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<executor>, void(result<std::string>)>(
      std::move(initiate), use_awaitable);
}

}  // namespace relay
