#include "storage/sqlite/reader.hpp"

#include <utility>

namespace relay::sqlite {
namespace {

constexpr std::size_t max_bytes = 16 * 1024 * 1024;  // of reads that wait
constexpr std::size_t overhead = 512;                // of each, roughly

}  // namespace

reader::reader(reads r, const store_hooks& hooks)
    : reads_(std::move(r)), hooks_(hooks), thread_([this] { work(); }) {}

error reader::too_many() {
  error e;
  e.code = errc::overloaded;
  e.retry_after_seconds = 2;
  e.message.text = e.log.text = "The relay is busy: too many reads wait. Try again in a few seconds";
  return e;
}

bool reader::push(job j) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || queue_bytes_ + overhead + j.payload > max_bytes) return false;
    queue_bytes_ += overhead + j.payload;
    queue_.push(std::move(j));
  }
  wake_.notify_one();
  return true;
}

void reader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  queue_ = {};
}

void reader::work() {
  for (;;) {
    job next;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return;
      next = std::move(queue_.front());
      queue_.pop();
      queue_bytes_ -= overhead + next.payload;
    }
    next.read(reads_);
  }
}

}  // namespace relay::sqlite
