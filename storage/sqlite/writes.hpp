#pragma once

// The store's writes, each as one unit of a group commit.

#include <functional>
#include <memory>
#include <string>

#include "storage/sqlite/db.hpp"
#include "storage/sqlite/group_commit.hpp"
#include "storage/store.hpp"

namespace relay::sqlite {

/// Prepared once; store thread only.
struct write_statements {
  explicit write_statements(db& d);

  db& connection;
  statement insert_task, save_task, insert_token, find_token, revoke_token, set_webhook;
  statement find_key, drop_claim, find_repeat, count_repeat, insert_claim, purge_claims;
  statement old_tasks, delete_task;
};

/// Loop thread: a task is on disk in a new revision. Outlives the writes.
using saved_function = std::function<void(const task&)>;

std::unique_ptr<write> write_new_task(write_statements& s, const saved_function& saved, task t,
                                      std::optional<claim> c, written<inserted> done);
std::unique_ptr<write> write_task(write_statements& s, const saved_function& saved, task t,
                                  written<task> done);
std::unique_ptr<write> write_new_token(write_statements& s, token t, written<token> done);
std::unique_ptr<write> write_revocation(write_statements& s, std::string name, timestamp now,
                                        written<token> done);
std::unique_ptr<write> write_webhook_secret(write_statements& s, std::string name, secret bytes,
                                            written<token> done);
std::unique_ptr<write> write_rebase(write_statements& s, timestamp now, schedule_limits limits,
                                    written<std::int64_t> done);
std::unique_ptr<write> write_claim_purge(write_statements& s, timestamp before, std::int64_t limit,
                                         written<std::int64_t> done);
std::unique_ptr<write> write_task_purge(write_statements& s,
                                        std::function<void(const std::vector<std::string>&)> gone,
                                        timestamp before, std::int64_t limit, written<std::int64_t> done);

}  // namespace relay::sqlite
