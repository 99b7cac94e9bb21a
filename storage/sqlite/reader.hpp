#pragma once

// A thread that reads: one connection, one queue, one post back a read. So a long read delays neither the
// loop nor, with a reader of its own, the short ones.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>

#include "storage/sqlite/reads.hpp"

namespace relay::sqlite {

class reader {
 public:
  /// Starts the thread. `hooks.post` must stay callable until stop().
  reader(reads r, const store_hooks& hooks);
  ~reader() { stop(); }

  /// Loop thread. `read(reads&) -> result<T>` runs on the thread of the reader, `done` on the loop. When too
  /// much waits, the read ends as `overloaded`. `payload`: bytes that `read` and `done` hold on the heap.
  template <class T, class Read>
  void run(Read read, completion<T> done, std::size_t payload = 0) {
    auto shared = std::make_shared<completion<T>>(std::move(done));
    job j{
        [this, read = std::move(read), shared](reads& r) mutable { complete<T>(std::move(shared), read(r)); },
        payload};
    const bool accepted = push(std::move(j));
    if (!accepted) complete<T>(std::move(shared), std::unexpected(too_many()));
  }

  /// Loop thread: drops what waits, joins.
  void stop();

 private:
  struct job {
    std::move_only_function<void(reads&)> read;
    std::size_t payload = 0;
  };

  template <class T>
  void complete(std::shared_ptr<completion<T>> done, result<T> r) {
    hooks_.post([done = std::move(done), r = std::move(r)]() mutable { (*done)(std::move(r)); });
  }
  bool push(job j);
  static error too_many();
  void work();

  reads reads_;  // the thread's
  const store_hooks& hooks_;

  std::mutex mutex_;  // guards the four below
  std::condition_variable wake_;
  std::queue<job> queue_;
  std::size_t queue_bytes_ = 0;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace relay::sqlite
