#pragma once

// Where tasks and tokens are kept: THE interface of storage, the one virtual interface of the program. One
// store serves one loop thread: every function is called there, reads answer at once, and a write's handler
// runs there after the write is durable. Engines: storage/sqlite.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/error.hpp"
#include "common/task.hpp"
#include "common/token.hpp"

namespace relay {

/// What a write ends with: the row as it is on disk now.
/// Errors: conflict (another revision is on disk, or the name is taken), overloaded (the queue is full),
/// storage_unavailable (the disk refused; nothing of this write is there).
template <class T>
using written = std::move_only_function<void(result<T>)>;

/// A task as it was at one revision; shared, never changed.
using task_ptr = std::shared_ptr<const task>;

struct task_page {
  std::vector<task> tasks;
  bool has_more = false;
};

struct state_count {
  task_state state;
  std::int64_t tasks;
};

/// Which schedule of a task.
enum class schedule : std::uint8_t { submit, poll };

class store {
 public:
  virtual ~store() = default;

  // Reads. Errors of all: storage_unavailable.

  /// Only the owner's own task: a foreign id and an absent one are both null.
  virtual result<task_ptr> find(std::int64_t owner, const std::string& id) = 0;
  /// In the order of `ids`; unknown and foreign ones are left out.
  virtual result<std::vector<task_ptr>> find_many(std::int64_t owner,
                                                  const std::vector<std::string>& ids) = 0;
  /// The owner's tasks, newest first.
  virtual result<task_page> list(std::int64_t owner, std::int64_t limit, std::int64_t offset) = 0;
  /// Tasks whose time has come, the most overdue first, after skipping `offset` of them.
  virtual result<std::vector<task>> due(schedule s, timestamp now, std::int64_t limit,
                                        std::int64_t offset) = 0;
  /// The earliest time in a schedule; `never` when it is empty.
  virtual result<timestamp> next_due(schedule s) = 0;
  /// All tasks in a state, oldest first; for start-up.
  virtual result<std::vector<task>> in_state(task_state s, std::int64_t limit) = 0;
  virtual result<std::vector<state_count>> count_by_state() = 0;
  /// Jobs an upstream has now: submitting, queued, dreaming.
  virtual result<std::int64_t> count_open(const std::string& upstream) = 0;
  virtual result<std::vector<token>> tokens() = 0;

  // Writes.

  /// Gives the task its row and revision 1.
  virtual void insert(task t, written<task> done) = 0;
  /// Compare-and-set on `revision`; the task handed to `done` has the next one.
  virtual void save(task t, written<task> done) = 0;
  /// Errors beside the general ones: conflict when a token in force has the name.
  virtual void insert_token(token t, written<token> done) = 0;
  /// Errors beside the general ones: task_not_found when no token in force has the name.
  virtual void revoke_token(const std::string& name, timestamp now, written<token> done) = 0;

  /// Writes that wait for the disk.
  virtual std::size_t queued() const = 0;
  /// Finishes what is queued, checkpoints, closes. Handlers not yet called are dropped. Idempotent.
  virtual void close() = 0;
};

/// How an engine reaches its loop thread and tells what it does.
struct store_hooks {
  /// Runs a function on the loop thread; called from the store thread.
  std::function<void(std::move_only_function<void()>)> post;
  /// Loop thread: a task is on disk in a new revision.
  std::function<void(const task_ptr&)> saved = [](const task_ptr&) {};
  /// Loop thread: a transaction of so many writes was committed in so many seconds.
  std::function<void(std::size_t writes, double seconds)> committed = [](std::size_t, double) {};
  /// Any thread: something an operator should know.
  std::function<void(const log_text&)> warn = [](const log_text&) {};
};

}  // namespace relay
