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

#include "common/base/error.hpp"
#include "common/engine/task.hpp"
#include "common/engine/token.hpp"

namespace relay {

/// What a write ends with: the row as it is on disk now.
/// Errors of all: conflict (another revision is on disk, or the name is taken), overloaded (the queue is
/// full), storage_unavailable (the disk refused; nothing of this write is there).
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

/// Schedules that are one queue over all upstreams; polls have one for each.
enum class schedule : std::uint8_t { submit, reconcile };

/// A create that may arrive more than once, as its client marked it (rule M3).
struct claim {
  enum class kind : std::uint8_t {
    key,     // it carries an Idempotency-Key
    repeat,  // it comes from an SDK that counts its own retries
  } what = kind::key;
  sha256_digest digest{};   // of the key, or of the request
  sha256_digest request{};  // of the request
  int repeats = 0;         // the SDK's count: 0 for the first send
  timestamp since;         // what was claimed before is forgotten
};

/// What an insert ended in.
struct inserted {
  enum class outcome : std::uint8_t {
    fresh,          // the task is on disk
    repeated,       // it is on disk already, as `task_id`; nothing was inserted
    other_request,  // the key belongs to another request; nothing was inserted
  } what = outcome::fresh;
  task value;           // when fresh
  std::string task_id;  // when repeated
};

/// A place in the queue of callbacks, to read on from.
struct callback_cursor {
  timestamp at;
  std::int64_t row = 0;
};
struct owed_callback {
  std::string task_id;
  std::string url;
  callback_cursor place;
  std::int64_t owner = 0;
};

/// The longest delays a schedule can have: what lies further ahead was written by a clock that has been set
/// back since (rule F5).
struct schedule_limits {
  milliseconds submit, poll, reconcile, callback, submit_deadline, job_deadline, late_for;
};

/// What an operator looks for.
struct task_filter {
  std::optional<task_state> state;
  std::optional<std::int64_t> owner;
  bool ambiguous = false;
  bool undelivered = false;  // the last callback was not taken, or not yet
  std::int64_t limit = 50;
};

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
  /// Any owner's, for the relay's own use; null when there is none.
  virtual result<task_ptr> load(const std::string& id) = 0;
  /// Any owner's, newest first, for the operator.
  virtual result<std::vector<task>> browse(const task_filter& filter) = 0;
  /// Tasks whose time has come, the most overdue first, after skipping `offset` of them.
  virtual result<std::vector<task>> due(schedule s, timestamp now, std::int64_t limit,
                                        std::int64_t offset) = 0;
  /// The earliest time in a schedule; `never` when it is empty.
  virtual result<timestamp> next_due(schedule s) = 0;
  /// Ids of tasks to ask one upstream about, the most overdue first.
  virtual result<std::vector<std::string>> due_polls(const std::string& upstream, timestamp now,
                                                     std::int64_t limit) = 0;
  /// The earliest time after `after`; `never` when there is none.
  virtual result<timestamp> next_poll(const std::string& upstream, timestamp after) = 0;
  /// Names of all upstreams that some task is to be asked about at.
  virtual result<std::vector<std::string>> polled_upstreams() = 0;
  /// Callbacks whose time has come, in the order of time, those after `after`.
  virtual result<std::vector<owed_callback>> due_callbacks(timestamp now, callback_cursor after,
                                                           std::int64_t limit) = 0;
  virtual result<timestamp> next_callback(timestamp after) = 0;
  /// All tasks in a state, in no order.
  virtual result<std::vector<task>> in_state(task_state s, std::int64_t limit) = 0;
  virtual result<std::vector<state_count>> count_by_state() = 0;
  /// Submissions whose outcome is unknown.
  virtual result<std::int64_t> count_ambiguous() = 0;
  /// Tasks that should have been asked about before `before`.
  virtual result<std::int64_t> count_overdue(timestamp before) = 0;
  /// Callbacks owed.
  virtual result<std::int64_t> count_owed() = 0;
  /// Ids of the jobs an upstream has now, or may have: submitting, queued, dreaming.
  virtual result<std::vector<std::string>> open_at(const std::string& upstream) = 0;
  /// True if a task created since `since` has this job of the upstream's.
  virtual result<bool> holds(const std::string& upstream, const std::string& upstream_id,
                             timestamp since) = 0;
  /// The task that a claim belongs to; null when it is the first of its kind. What an insert would say,
  /// unless another comes before it.
  virtual result<std::optional<inserted>> claimed(std::int64_t owner, const claim& c) = 0;
  virtual result<std::vector<token>> tokens() = 0;
  /// Null when there is none; a revoked one is found.
  virtual result<std::optional<token>> token_by_id(std::int64_t id) = 0;

  // Writes.

  /// Gives the task its row and revision 1, unless `c` says that it is there already.
  virtual void insert(task t, std::optional<claim> c, written<inserted> done) = 0;
  /// Compare-and-set on `revision`; the task handed to `done` has the next one.
  virtual void save(task t, written<task> done) = 0;
  /// Errors beside the general ones: conflict when a token in force has the name.
  virtual void insert_token(token t, written<token> done) = 0;
  /// Errors beside the general ones: task_not_found when no token in force has the name.
  virtual void revoke_token(const std::string& name, timestamp now, written<token> done) = 0;

  /// Gives a token in force a new secret for signing callbacks. Errors: as revoke_token.
  virtual void set_webhook_secret(const std::string& name, secret bytes, written<token> done) = 0;
  /// Brings times that a clock set back since has left too far ahead within the limits; how many tasks.
  virtual void rebase(timestamp now, schedule_limits limits, written<std::int64_t> done) = 0;
  /// Forgets up to `limit` claims made before `before`; how many.
  virtual void purge_claims(timestamp before, std::int64_t limit, written<std::int64_t> done) = 0;
  /// Deletes up to `limit` tasks that ended before `before` and on which nothing is owed; how many.
  virtual void purge_tasks(timestamp before, std::int64_t limit, written<std::int64_t> done) = 0;

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
  /// Loop thread: tasks that are no longer there.
  std::function<void(const std::vector<std::string>& ids)> purged = [](const std::vector<std::string>&) {};
  /// Store thread: the disk is full, and a write failed for it. True: there is room again, it is worth
  /// another try.
  std::function<bool()> disk_full = [] { return false; };
  /// Any thread: something an operator should know.
  std::function<void(const log_text&)> warn = [](const log_text&) {};
};

}  // namespace relay
