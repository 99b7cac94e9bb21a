#pragma once

// The check of a large database while it is in use: reading all of it takes as long as the disk takes, and a
// start does not wait for that (rule F4).

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "storage/sqlite/database_file.hpp"
#include "storage/store.hpp"

struct sqlite3;

namespace relay::sqlite {

class later_check {
 public:
  /// Starts a thread that reads the file through, then has SQLite check it. `file` and `hooks` outlive it.
  later_check(const database_file& file, const store_hooks& hooks);
  ~later_check() { stop(); }

  /// Any thread. Errors: storage_unavailable, once damage was found.
  result<void> so_far() const;
  /// Any thread: a reader keeps the log from beginning anew, and it is long. The check ends, and begins again
  /// in a minute.
  void give_way();
  /// Ends within moments, finished or not.
  void stop();

 private:
  enum class end : std::uint8_t { finished, gave_way };

  void run();
  void read_ahead() const;
  end check();
  void found(error damage);
  bool stopping() const;
  void set_checking(sqlite3* connection);

  const database_file& file_;
  const store_hooks& hooks_;

  mutable std::mutex mutex_;  // guards the five below
  bool stopping_ = false;
  bool ended_ = false;
  bool interrupted_ = false;     // this try: what it says of the file is worth nothing
  sqlite3* checking_ = nullptr;  // the connection that checks now
  std::optional<error> damage_;
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace relay::sqlite
