#include "storage/sqlite/reads.hpp"

#include "storage/sqlite/rows.hpp"

namespace relay::sqlite {

read_statements::read_statements(db& d)
    : find(d.prepare("SELECT " RELAY_TASK_COLUMNS " FROM task WHERE task_id=?1 AND owner=?2")),
      list(d.prepare("SELECT " RELAY_TASK_COLUMNS
                     " FROM task WHERE owner=?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3")),
      load(d.prepare("SELECT " RELAY_TASK_COLUMNS " FROM task WHERE task_id=?1")),
      browse(d.prepare("SELECT " RELAY_TASK_COLUMNS
                       " FROM task WHERE (?1='' OR status=?1) AND (?2=0 OR owner=?2) "
                       "AND (?4=0 OR callback_problem<>'') ORDER BY id DESC LIMIT ?3")),
      ambiguous(d.prepare("SELECT " RELAY_TASK_COLUMNS
                          " FROM task WHERE next_reconcile_at>0 AND (?1=0 OR owner=?1) "
                          "ORDER BY next_reconcile_at LIMIT ?2")),
      due_submit(d.prepare("SELECT " RELAY_TASK_COLUMNS
                           " FROM task WHERE next_submit_at>0 AND next_submit_at<=?1 "
                           "ORDER BY next_submit_at LIMIT ?2 OFFSET ?3")),
      due_reconcile(d.prepare("SELECT " RELAY_TASK_COLUMNS
                              " FROM task WHERE next_reconcile_at>0 AND next_reconcile_at<=?1 "
                              "ORDER BY next_reconcile_at LIMIT ?2 OFFSET ?3")),
      next_submit(d.prepare("SELECT min(next_submit_at) FROM task WHERE next_submit_at>0")),
      next_reconcile(d.prepare("SELECT min(next_reconcile_at) FROM task WHERE next_reconcile_at>0")),
      due_polls(d.prepare("SELECT task_id FROM task WHERE upstream=?1 AND next_poll_at>0 "
                          "AND next_poll_at<=?2 ORDER BY next_poll_at LIMIT ?3")),
      next_poll(d.prepare("SELECT min(next_poll_at) FROM task "
                          "WHERE upstream=?1 AND next_poll_at>0 AND next_poll_at>?2")),
      polled(d.prepare("SELECT DISTINCT upstream FROM task WHERE next_poll_at>0")),
      due_callbacks(d.prepare("SELECT task_id,callback_url,next_callback_at,id,owner FROM task "
                              "WHERE next_callback_at>0 AND next_callback_at<=?1 "
                              "AND (next_callback_at,id)>(?2,?3) ORDER BY next_callback_at,id LIMIT ?4")),
      next_callback(d.prepare("SELECT min(next_callback_at) FROM task WHERE next_callback_at>0 "
                              "AND next_callback_at>?1")),
      in_state(d.prepare("SELECT " RELAY_TASK_COLUMNS " FROM task WHERE status=?1 LIMIT ?2")),
      count(d.prepare("SELECT status,count(*) FROM task GROUP BY status")),
      count_ambiguous(d.prepare("SELECT count(*) FROM task WHERE next_reconcile_at>0")),
      count_overdue(d.prepare("SELECT count(*) FROM task WHERE next_poll_at>0 AND next_poll_at<?1")),
      count_owed(d.prepare("SELECT count(*) FROM task WHERE next_callback_at>0")),
      open_at(d.prepare("SELECT task_id FROM task WHERE status IN ('submitting','queued','dreaming') AND "
                        "upstream=?1")),
      holds(d.prepare("SELECT 1 FROM task WHERE task_id>=?1 AND upstream=?2 AND upstream_id=?3 LIMIT 1")),
      claimed(d.prepare("SELECT task_id,request FROM claim "
                        "WHERE owner=?1 AND digest=?2 AND kind='key' AND created_at>=?3")),
      repeated(d.prepare("SELECT task_id,request FROM claim WHERE owner=?1 AND digest=?2 AND kind='repeat' "
                         "AND repeats<?4 AND created_at>=?3 ORDER BY repeats DESC,id DESC LIMIT 1")),
      tokens(d.prepare("SELECT " RELAY_TOKEN_COLUMNS " FROM token ORDER BY id")),
      token_by_id(d.prepare("SELECT " RELAY_TOKEN_COLUMNS " FROM token WHERE id=?1")) {}

}  // namespace relay::sqlite
