#pragma once

// Where tasks, accounts and tokens are kept: THE interface of storage, the one virtual interface of the
// program. One store serves one loop thread: every function is called there, and every handler runs there,
// later, never inside the call. What is in memory is returned at once; every other read may have to wait for
// a thread or a socket. A write's handler runs after the write is durable. Engines: storage/sqlite.

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "common/base/error.hpp"
#include "common/engine/account.hpp"
#include "common/engine/audit.hpp"
#include "common/engine/dialect.hpp"
#include "common/engine/idempotency.hpp"
#include "common/engine/ledger.hpp"
#include "common/engine/policy.hpp"
#include "common/engine/submit_queues.hpp"
#include "common/engine/task.hpp"
#include "common/engine/task_counts.hpp"
#include "common/engine/token.hpp"

namespace relay {

/// What a call ends with. Dropped, uncalled, when the store is closed first.
/// Errors of all reads: storage_unavailable; overloaded (too many reads wait); internal (a row was written by
/// another version of the program, and this one cannot read it). Errors of all writes: conflict (another
/// revision is on disk, or the name is taken), overloaded (the queue is full), storage_unavailable, disk_full
/// (nothing of this write is there).
template <class T>
using completion = std::move_only_function<void(result<T>)>;

template <class Completion>
struct completed;
template <class T>
struct completed<completion<T>> {
  using type = T;
};
/// The T of a parameter list that ends in completion<T>.
template <class... P>
using completed_t = typename completed<std::tuple_element_t<sizeof...(P) - 1, std::tuple<P...>>>::type;

/// A change to a task, and the rows that are on disk in the same transaction or not at all.
struct change {
  change(task_ptr from, std::shared_ptr<task> to, std::optional<idempotency_record> r)
      : before(std::move(from)), after(std::move(to)), idempotency(r) {}
  change(task_ptr from, task to, std::optional<idempotency_record> r)
      : change(std::move(from), std::make_shared<task>(std::move(to)), r) {}

  task_ptr before;              // as it was read; null: the task is new
  std::shared_ptr<task> after;  // its revision is the one of `before`; the store's, once it is written
  /// With a new task: the create may arrive more than once.
  std::optional<idempotency_record> idempotency;
  /// What it means in money and in counts; null: nothing. Errors beside the general ones:
  /// insufficient_credits; internal when the job has a row of that kind already.
  std::shared_ptr<const booking> booked;
  audit_ptr why;  // which operator asked for it
};

/// What a change ended in.
struct written_change {
  enum class outcome : std::uint8_t {
    written,        // on disk
    repeated,       // the create came before, as `task_id`; nothing was written
    other_request,  // its key belongs to another request; nothing was written
  } what = outcome::written;
  task_ptr value;       // when written: as it is on disk, with the next revision
  std::string task_id;  // when repeated
};

/// A page of an owner's tasks: all their ids, and as many of the tasks themselves, from the first, as the
/// caller has room for; one at least.
struct task_page {
  std::vector<std::string> ids;
  std::vector<task_ptr> tasks;
  bool has_more = false;
};
/// The first of several tasks, as many as the caller has room for.
struct some_tasks {
  std::vector<task_ptr> tasks;  // those that are there
  std::size_t looked_up = 0;    // ids, from the first; one at least, unless there are none
};

/// Schedules that are one queue over all customers and upstreams. `expire`: what waits to be submitted, by
/// its deadline; `remove`: what is to be deleted at its upstream.
enum class schedule : std::uint8_t { expire, reconcile, remove };

/// A place in a schedule, to read on from.
struct schedule_cursor {
  timestamp at;
  std::string task_id;
};
/// Tasks in the order of time.
struct due_page {
  std::vector<task_ptr> tasks;  // those that can be read
  std::int64_t rows = 0;        // all of them
  schedule_cursor last;         // of the last row
};
/// A task that is to be polled.
struct polled_task {
  std::string task_id;
  std::int64_t owner = 0;
  std::string upstream;
  timestamp at;
};
/// A task that has a callback to deliver.
struct pending_callback {
  std::string task_id;
  std::int64_t owner = 0;
  timestamp at;
};

/// What a token is rotated to.
struct new_secret {
  sha256_digest digest{};
  std::string hint;
  timestamp old_ends_at;
};

/// What an operator found. `last_row`: of the last row that was looked at, to read on from; rows that cannot
/// be read are among them.
struct found_tasks {
  std::vector<task_ptr> tasks;
  std::int64_t last_row = 0;
  bool has_more = false;
};

/// What an operator searches for.
struct task_filter {
  std::optional<task_state> state;
  std::optional<std::int64_t> owner;
  std::optional<std::int64_t> token;  // they were created with
  bool ambiguous = false;
  bool held = false;             // they waited in a backup that was restored
  bool undelivered = false;      // the last callback was not delivered, or not yet
  std::string upstream, action;  // empty: any
  timestamp since, until;        // of creation, `until` not included; never: any
  std::string text;              // the id begins with it, or it is in the upstream's id
  std::int64_t before = std::numeric_limits<std::int64_t>::max();  // rows with a smaller number
  bool oldest_first = false;  // else the newest; then `after` is looked at in place of `before`
  std::int64_t after = 0;     // rows with a larger number
  std::int64_t limit = 50;
  std::size_t max_bytes = std::size_t{64} << 20;  // bytes, as memory_of() counts, after which it ends early
};

/// Which rows of the ledger, the newest first.
struct ledger_filter {
  std::optional<std::int64_t> account;
  std::string task_id;      // empty: of any job, and of none
  std::int64_t before = 0;  // rows with a smaller id; 0: from the newest on
  std::int64_t limit = 50;
};

/// By what usage is told apart.
enum class usage_by : std::uint8_t { day, account, token, action, model, upstream, outcome };
inline constexpr usage_by all_usage_by[] = {usage_by::day,    usage_by::account, usage_by::token,
                                            usage_by::action, usage_by::model,   usage_by::upstream,
                                            usage_by::outcome};
/// Rows of one answer.
inline constexpr std::int64_t max_usage_rows = 100'000;
/// Counts of these days, both included; what it is not told apart by is left empty.
struct usage_query {
  std::int32_t since = 0, until = 0;  // as day_of()
  std::optional<std::int64_t> account;
  std::vector<usage_by> by;
  std::int64_t limit = max_usage_rows;  // what has more rows is refused
};

class store {
 public:
  virtual ~store() = default;

  // At once.

  /// Any owner's task, in its newest revision, if it is in memory; else null, and load() may know it.
  virtual task_ptr in_memory(const std::string& id) = 0;
  virtual const task_counts& counts() const = 0;
  /// Writes that wait for the disk.
  virtual std::size_t queued() const = 0;

  // Reads.

  /// Only the owner's own task: a foreign id and an absent one are both null (rule S3).
  virtual void find(std::int64_t owner, const std::string& id, completion<task_ptr> done) = 0;
  /// In the order of `ids`; unknown and foreign ones are left out. Tasks of `room` bytes, as memory_of()
  /// counts, are read, and the one that passes it.
  virtual void find_many(std::int64_t owner, std::vector<std::string> ids, std::size_t room,
                         completion<some_tasks> done) = 0;
  /// The owner's tasks, newest first; as much of them as find_many() would read.
  virtual void list(std::int64_t owner, page_request page, std::size_t room, completion<task_page> done) = 0;
  /// The task that a create which came before made; nullopt when it is the first of its kind. What a write
  /// would say, unless another comes before it.
  virtual void find_repeated(std::int64_t owner, const idempotency_record& r,
                             completion<std::optional<written_change>> done) = 0;

  /// What an account has now; nothing when there is no such account.
  virtual void balance(std::int64_t account, completion<account_balance> done) = 0;
  /// In the order of `by`. Errors: too many rows are invalid_request.
  virtual void usage(usage_query q, completion<std::vector<usage_entry>> done) = 0;

  // Reads for the relay's own use: any owner's.

  virtual void ledger(ledger_filter f, completion<std::vector<ledger_row>> done) = 0;

  /// Null when there is none.
  virtual void load(const std::string& id, completion<task_ptr> done) = 0;
  /// Newest first, for the operator.
  virtual void browse(const task_filter& filter, completion<found_tasks> done) = 0;
  /// Tasks whose id begins with this text, or which an upstream calls so. For the operator.
  virtual void search(const std::string& text, std::int64_t limit,
                      completion<std::vector<task_ptr>> done) = 0;
  /// Tasks whose time has come, the most overdue first, those after `after`.
  virtual void due(schedule s, timestamp now, const schedule_cursor& after, std::int64_t limit,
                   completion<due_page> done) = 0;
  /// The earliest time in a schedule; `never` when it is empty.
  virtual void next_due(schedule s, completion<timestamp> done) = 0;
  /// Those in which a task waits to be submitted, whether it is due or not.
  virtual void submit_queues(completion<std::vector<submit_queue>> done) = 0;
  /// The tasks of one of them in the order of time, those after `after`, whether they are due or not.
  virtual void pending(const submit_queue& q, const schedule_cursor& after, std::int64_t limit,
                       completion<due_page> done) = 0;
  /// All that are to be polled at some time, in no order.
  virtual void polled(completion<std::vector<polled_task>> done) = 0;
  /// All callbacks that are to be delivered at some time, in no order.
  virtual void pending_callbacks(completion<std::vector<pending_callback>> done) = 0;
  /// Tasks that are being submitted to one upstream, or that failed there and are still looked up.
  virtual void submitting_to(const std::string& upstream, std::int64_t limit,
                             completion<std::vector<task_ptr>> done) = 0;
  /// Submissions begun by a process that no longer lives, `self` being the instance id of this one; their
  /// outcome is not known to be unknown yet.
  virtual void interrupted(const std::string& self, std::int64_t limit,
                           completion<std::vector<task_ptr>> done) = 0;
  /// Ids of the jobs an upstream has now, or may have: submitting, queued, running.
  virtual void open_at(const std::string& upstream, completion<std::vector<std::string>> done) = 0;
  /// Which of these job ids of an upstream some task created since `since` has.
  virtual void known_jobs(const std::string& upstream, std::vector<std::string> upstream_ids, timestamp since,
                          completion<std::vector<std::string>> done) = 0;
  /// After a restore, while the jobs of the backup are looked up: those since then may be missing in it, or
  /// held; `never`: there is nothing to look up.
  virtual void restored_from(completion<timestamp> done) = 0;
  /// What earlier processes knew of their upstreams, those that are no longer configured too.
  virtual void lane_memories(completion<std::vector<lane_memory>> done) = 0;
  virtual void accounts(completion<std::vector<account>> done) = 0;
  virtual void account_by_id(std::int64_t id, completion<std::optional<account>> done) = 0;
  /// The revoked ones too.
  virtual void tokens(completion<std::vector<token>> done) = 0;
  /// The revoked ones too.
  virtual void admin_tokens(completion<std::vector<admin_token>> done) = 0;
  /// Newest first: rows with a smaller id than `before`.
  virtual void audit(std::int64_t before, std::int64_t limit, completion<std::vector<audit_row>> done) = 0;
  /// The request of this maker that had this idempotency key, if one was carried out.
  virtual void find_carried_out(const std::string& made_by, const std::string& key,
                                completion<std::optional<carried_out>> done) = 0;

  // Writes. With an audit entry its row is written in the same transaction, or neither is; then internal
  // is an error too: its maker used its idempotency key before.

  /// Compare-and-set on the revision of `before`. A new task gets its row and revision 1.
  virtual void write(change c, completion<written_change> done) = 0;
  /// A row of no job's: what an operator puts in, or corrects. Errors beside the general ones: task_not_found
  /// when there is no such account.
  virtual void book(ledger_entry e, audit_ptr why, completion<ledger_row> done) = 0;
  /// A new account (its id is 0), or compare-and-set on the revision; as it is on disk. Errors beside the
  /// general ones: conflict when another account has the name, task_not_found when there is no such account.
  virtual void write_account(account a, audit_ptr why, completion<account> done) = 0;
  /// Errors beside the general ones: conflict when a token of its account that is not revoked has the name.
  virtual void insert_token(token t, audit_ptr why, completion<token> done) = 0;
  /// Name, expiry, addresses and limits of a token that is not revoked. Errors: as revoke_token, and conflict
  /// when another of its account has the name.
  virtual void change_token(token t, audit_ptr why, completion<token> done) = 0;
  /// Tokens that were used on this day.
  virtual void note_use(std::vector<std::int64_t> tokens, std::int32_t day,
                        completion<std::int64_t> done) = 0;
  /// Errors beside the general ones: task_not_found when there is no such token, or it is revoked already.
  virtual void revoke_token(std::int64_t id, timestamp now, audit_ptr why, completion<token> done) = 0;
  /// Gives a token that is not revoked a new secret, by its digest; the one it had works until `old_ends_at`.
  /// Errors: as revoke_token.
  virtual void rotate_token(std::int64_t id, new_secret with, audit_ptr why, completion<token> done) = 0;
  /// Errors beside the general ones: conflict when one that is not revoked has the name.
  virtual void insert_admin_token(admin_token t, audit_ptr why, completion<admin_token> done) = 0;
  /// Errors beside the general ones: task_not_found when there is no such token, or it is revoked already.
  virtual void revoke_admin_token(std::int64_t id, timestamp now, audit_ptr why,
                                  completion<admin_token> done) = 0;
  /// A change of many rows, before it is made: its row alone, and the number of that.
  virtual void note_change(audit_ptr why, completion<std::int64_t> done) = 0;
  /// The response to a request with an idempotency key, if that has a row.
  virtual void keep_response(const std::string& made_by, const std::string& key, kept_response what,
                             completion<std::int64_t> done) = 0;
  /// Brings times that a clock set back since has left too far ahead within the limits; how many tasks.
  virtual void rebase(timestamp now, schedule_limits limits, completion<std::int64_t> done) = 0;
  /// A process lives at `now`.
  virtual void mark_alive(timestamp now, completion<std::int64_t> done) = 0;
  /// At start: the deadlines of what has not ended move by the time since the last mark_alive(); that time, 0
  /// when there was none.
  virtual void resume(timestamp now, completion<milliseconds> done) = 0;
  /// The same for a time in which this process did not run; of how many tasks.
  virtual void extend_deadlines(milliseconds by, completion<std::int64_t> done) = 0;
  /// What is to be known of an upstream after a restart.
  virtual void keep_lane(lane_memory m, completion<std::int64_t> done) = 0;
  /// The jobs of a restored backup have been looked up.
  virtual void end_restore(completion<std::int64_t> done) = 0;
  /// Deletes up to `limit` idempotency records made before `before`; how many.
  virtual void purge_idempotency(timestamp before, std::int64_t limit, completion<std::int64_t> done) = 0;
  /// Deletes up to `limit` tasks that ended before `before` and have no pending callback; how many.
  virtual void purge_tasks(timestamp before, std::int64_t limit, completion<std::int64_t> done) = 0;

  /// Finishes the writes that are queued, checkpoints, closes. Handlers not yet called are dropped.
  /// Idempotent.
  virtual void close() = 0;
};

/// How an engine reaches its loop thread and reports what it does.
struct store_hooks {
  /// Runs a function on the loop thread; called from the store's threads.
  std::function<void(std::move_only_function<void()>)> post;
  /// Loop thread: a task is on disk in a new revision. Called before the write's own handler.
  std::function<void(const task_ptr&)> saved = [](const task_ptr&) {};
  /// Loop thread: a transaction of so many writes was committed in so many seconds.
  std::function<void(std::size_t writes, double seconds)> committed = [](std::size_t, double) {};
  /// Store thread: the disk is full, and a write failed for it. True: there is space again, it is worth
  /// another try.
  std::function<bool()> disk_full = [] { return false; };
  /// Any thread: something an operator should know that is no problem.
  std::function<void(const log_text&)> notice = [](const log_text&) {};
  /// Any thread: a problem.
  std::function<void(const log_text&)> warn = [](const log_text&) {};
  /// Store thread, once: from now on every write fails.
  std::function<void(const log_text&)> stopped = [](const log_text&) {};
};

}  // namespace relay
