#pragma once

// The store's writes, each as one unit of a group commit.

#include <functional>
#include <memory>
#include <string>

#include "storage/sqlite/column_statements.hpp"
#include "storage/sqlite/db.hpp"
#include "storage/sqlite/group_commit.hpp"
#include "storage/store.hpp"

namespace relay::sqlite {

/// Prepared once; store thread only.
struct write_statements {
  explicit write_statements(db& d);

  db& connection;
  column_statements insert_task, update_task;
  statement insert_account, update_account, find_account, insert_token, find_token, change_token,
      revoke_token, rotate_token, note_use;
  statement find_key, drop_record, find_retry, count_retry, insert_record, purge_records;
  statement old_tasks, delete_task, begin_log, keep_lane;
  statement find_balance, set_balance, insert_ledger, add_usage, take_usage, drop_usage;
  statement insert_audit, insert_admin_token, find_admin_token, revoke_admin_token, keep_response;
};

/// Counts the log in its own first transaction, so that it can be told from that of another file.
result<void> begin_log(write_statements& s);

/// Within the transaction of the change that calls for them. Errors: insufficient_credits; internal when the
/// job has a row of that kind already; task_not_found when there is no such account.
result<void> write_booking(write_statements& s, const booking& b);

/// What is in memory follows what is on disk. Loop thread; outlives the writes.
struct task_listener {
  std::function<void(const task_ptr& before, const task_ptr& after)> saved;
  /// Another revision than this one is on disk.
  std::function<void(const task& stale)> conflicted;
};
/// Loop thread: tasks in this state are no longer there.
using purged_function = std::function<void(const std::vector<std::pair<std::string, task_state>>&)>;

std::unique_ptr<write> write_task(write_statements& s, const task_listener& memory, change c,
                                  completion<written_change> done);
std::unique_ptr<write> write_ledger_row(write_statements& s, ledger_entry e, completion<ledger_row> done);
std::unique_ptr<write> write_account(write_statements& s, account a, completion<account> done);
std::unique_ptr<write> write_new_token(write_statements& s, token t, completion<token> done);
/// Name, expiry, addresses and limits.
std::unique_ptr<write> write_token(write_statements& s, token t, completion<token> done);
std::unique_ptr<write> write_use(write_statements& s, std::vector<std::int64_t> ids, std::int32_t day,
                                 completion<std::int64_t> done);
std::unique_ptr<write> write_revocation(write_statements& s, std::int64_t id, timestamp now,
                                        completion<token> done);
std::unique_ptr<write> write_rotation(write_statements& s, std::int64_t id, new_secret with,
                                      completion<token> done);
std::unique_ptr<write> write_new_admin_token(write_statements& s, admin_token t,
                                             completion<admin_token> done);
std::unique_ptr<write> write_admin_revocation(write_statements& s, std::int64_t id, timestamp now,
                                              completion<admin_token> done);
/// The change and the row that says who made it, both or neither; the change alone when `why` is null.
std::unique_ptr<write> with_audit(write_statements& s, audit_ptr why, std::unique_ptr<write> change);
std::unique_ptr<write> write_audit(write_statements& s, audit_ptr why, completion<std::int64_t> done);
std::unique_ptr<write> write_response(write_statements& s, std::string made_by, std::string key,
                                      kept_response what, completion<std::int64_t> done);
std::unique_ptr<write> write_rebase(write_statements& s, timestamp now, schedule_limits limits,
                                    completion<std::int64_t> done);
std::unique_ptr<write> write_alive(write_statements& s, timestamp now, completion<std::int64_t> done);
std::unique_ptr<write> write_resume(write_statements& s, timestamp now, completion<milliseconds> done);
/// `moved` runs on the loop thread: what is in memory of tasks that have not ended is no longer what is on
/// disk.
std::unique_ptr<write> write_extension(write_statements& s, const std::function<void()>& moved,
                                       milliseconds by, completion<std::int64_t> done);
std::unique_ptr<write> write_lane(write_statements& s, lane_memory m, completion<std::int64_t> done);
std::unique_ptr<write> write_end_of_restore(write_statements& s, completion<std::int64_t> done);
std::unique_ptr<write> write_idempotency_purge(write_statements& s, timestamp before, std::int64_t limit,
                                               completion<std::int64_t> done);
std::unique_ptr<write> write_task_purge(write_statements& s, const purged_function& purged, timestamp before,
                                        std::int64_t limit, completion<std::int64_t> done);

}  // namespace relay::sqlite
