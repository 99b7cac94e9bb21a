#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace relay::test {

/// The loop thread's queue, without a loop: this thread runs what a store posts.
class inbox {
 public:
  void post(std::move_only_function<void()> f) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(f));
    wake_.notify_one();
  }
  void run_one() { take_one()(); }
  /// The next one, for the test to run when it likes: what was posted, and comes late.
  std::move_only_function<void()> take_one() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return !queue_.empty(); });
    auto f = std::move(queue_.front());
    queue_.pop_front();
    return f;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::move_only_function<void()>> queue_;
};

}  // namespace relay::test
