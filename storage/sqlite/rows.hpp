#pragma once

// Tasks and tokens as rows: the one list of columns, in the one order that every statement uses.

#include "common/engine/task.hpp"
#include "common/engine/token.hpp"
#include "storage/sqlite/db.hpp"

namespace relay::sqlite {

/// All columns of `task`, `id` first.
#define RELAY_TASK_COLUMNS                                                                                   \
  "id,task_id,owner,dialect,endpoint,platform,action,request,callback_url,pinned,submit_time,created_at,"    \
  "status,progress,upstream,marker,upstream_id,data,fail_reason,fail_status,attempts,misses,not_found,owed," \
  "callbacks_done,callback_attempts,callback_stopped,callback_problem,next_submit_at,next_poll_at,"          \
  "next_reconcile_at,next_callback_at,deadline,attempted_at,ambiguous_at,start_time,finish_time,"            \
  "updated_at,revision"

/// Binds what never changes after the insert, from `task_id` to `created_at`, to ?1 … ?11, and the rest to
/// ?12 … ?38, in that order. The task must outlive the step.
void bind_task(statement& s, const task& t);

/// Binds `task_id` to ?1 and the rest, from `status` on, to ?12 … ?38.
void bind_changes(statement& s, const task& t);

task read_task(const statement& s);
#define RELAY_TOKEN_COLUMNS "id,name,digest,hint,created_at,revoked_at,webhook_secret"
token read_token(const statement& s);

inline std::int64_t to_column(timestamp t) {
  return t.time_since_epoch().count();
}
inline timestamp from_column(std::int64_t v) {
  return timestamp(timestamp::duration(v));
}

}  // namespace relay::sqlite
