#pragma once

// Tasks and tokens as rows: the one list of columns, in the one order that every statement uses.

#include "common/task.hpp"
#include "common/token.hpp"
#include "storage/sqlite/db.hpp"

namespace relay::sqlite {

/// All columns of `task`, `id` first.
#define RELAY_TASK_COLUMNS                                                                                  \
  "id,task_id,owner,dialect,endpoint,platform,action,status,progress,request,callback_url,upstream,pinned," \
  "upstream_id,data,fail_reason,fail_status,attempts,misses,not_found,next_submit_at,next_poll_at,"         \
  "next_callback_at,deadline,submit_time,start_time,finish_time,created_at,updated_at,revision"

/// Binds every column but `id` to ?1 … ?29 in that order; an insert stores one more than the revision. The
/// task must outlive the step.
void bind_task(statement& s, const task& t);

task read_task(const statement& s);
token read_token(const statement& s);  // id,name,digest,hint,created_at,revoked_at

inline std::int64_t to_column(timestamp t) {
  return t.time_since_epoch().count();
}
inline timestamp from_column(std::int64_t v) {
  return timestamp(timestamp::duration(v));
}

}  // namespace relay::sqlite
