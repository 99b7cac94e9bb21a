#pragma once

// The store thread. Writes queue up while a transaction runs; all that wait go into the next one, and a bad
// one does not fail its neighbours. A write's end reaches the loop
// thread only after COMMIT has returned, in one post a transaction.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "storage/sqlite/db.hpp"
#include "storage/store.hpp"

namespace relay::sqlite {

/// One write. `apply` runs on the store thread; `finish` on the loop thread, with the error that `apply` or
/// the commit ended in.
class write {
 public:
  virtual ~write() = default;
  /// An error leaves nothing of it in the transaction.
  virtual result<void> apply() = 0;
  /// True: SQLite itself undoes an `apply` that fails. False: a savepoint does.
  virtual bool is_one_statement() const { return false; }
  /// Memory it takes while it waits.
  virtual std::size_t bytes() const = 0;
  virtual void finish(result<void> outcome) = 0;
};

/// What surrounds the transactions; called on the store thread.
struct commit_rules {
  /// Within the first transaction of each log.
  std::function<result<void>()> begin_log = [] { return result<void>{}; };
  /// Before each commit: it may be written to. An error is for good.
  std::function<result<void>()> may_write = [] { return result<void>{}; };
  /// After it: the file that was written is still the one at its path. An error is for good.
  std::function<result<void>()> in_place = [] { return result<void>{}; };
};

class group_commit {
 public:
  /// Makes a first checkpoint and starts the thread. `d` is used by it alone from now on. `queue_bytes`:
  /// memory of the writes that may wait. `log_bytes`: the log is emptied when it is so long. `hooks.post`
  /// must stay callable until stop().
  group_commit(db& d, const store_hooks& hooks, commit_rules rules, std::size_t queue_bytes,
               std::size_t log_bytes = std::size_t{100} << 20);
  ~group_commit() { stop(); }

  /// Loop thread. When the queue is full or stopped, the write ends as `overloaded`.
  void push(std::unique_ptr<write> w);
  std::size_t queued() const;
  /// Loop thread: drains the queue, checkpoints, joins.
  void stop();

 private:
  using batch = std::vector<std::unique_ptr<write>>;

  void run();
  void commit(batch work);
  result<void> apply_one(write& w, result<void>& outcome);
  result<void> transaction(batch& work, std::vector<result<void>>& outcomes, bool& broken);
  result<void> checkpoint();
  void checkpoint_if_long(bool idle);
  void stop_writing(const error& why);

  db& db_;
  const store_hooks& hooks_;
  const commit_rules rules_;
  const std::size_t max_bytes_;
  const int checkpoint_always_, checkpoint_when_idle_;  // pages in the log
  // Store thread only.
  std::optional<result<void>> broken_;  // set for good after a failed fsync, or when the file is gone
  bool new_log_ = false;                // nothing of the log is only there: the next write begins a new one
  statement begin_, commit_, rollback_, savepoint_, release_, rollback_to_;  // store thread only

  mutable std::mutex mutex_;  // guards the four below
  std::condition_variable wake_;
  batch queue_;
  std::size_t queue_bytes_ = 0;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace relay::sqlite
