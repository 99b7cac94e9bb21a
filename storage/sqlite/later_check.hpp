#pragma once

// The check of a large database while it is in use: reading all of it takes as long as the disk takes, and a
// start does not wait for that (rule F4).

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "storage/store.hpp"

namespace relay::sqlite {

class later_check {
 public:
  /// Starts a thread that reads the file through `file`, an open descriptor of it, then has SQLite check it.
  /// While the log is longer than `log_bytes` it waits: a reader keeps the log from beginning anew. `hooks`
  /// outlive it.
  later_check(std::string path, int file, std::size_t log_bytes, const store_hooks& hooks);
  ~later_check() { stop(); }

  /// Any thread. Errors: storage_unavailable, once damage was found.
  result<void> so_far() const;
  /// Ends within moments, finished or not.
  void stop();

 private:
  enum class end : std::uint8_t { done, stopped, log_too_long };

  void run();
  void read_ahead() const;
  end check();
  bool stopping() const;
  bool log_is_long() const;
  static int on_progress(void* self);

  const std::string path_;
  const int file_;
  const std::size_t log_bytes_;
  const store_hooks& hooks_;
  bool log_was_long_ = false;  // the thread's

  mutable std::mutex mutex_;  // guards the two below
  bool stopping_ = false;
  std::optional<error> damage_;
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace relay::sqlite
