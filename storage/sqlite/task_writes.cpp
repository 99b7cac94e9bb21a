// A change to a task, and the rows of the same transaction.

#include <algorithm>
#include <utility>

#include "storage/sqlite/columns.hpp"
#include "storage/sqlite/write_of.hpp"

namespace relay::sqlite {
namespace {

using outcome = written_change::outcome;

class task_write final : public write_of<written_change> {
 public:
  task_write(write_statements& s, const task_listener& memory, change c, completion<written_change> done)
      : write_of(s, {}, std::move(done)),
        memory_(memory),
        before_(std::move(c.before)),
        after_(std::move(c.after)),
        record_(c.idempotency),
        booked_(std::move(c.booked)) {
    after_->revision = before_ ? before_->revision : 0;
  }

  std::size_t bytes() const override { return sizeof(*this) + memory_of(*after_); }
  bool is_one_statement() const override { return !record_ && !booked_ && !leaves_its_list(); }

  result<void> apply() override {
    value_.what = outcome::written;
    auto done = before_ ? update() : insert();
    if (!done || !booked_ || value_.what != outcome::written) return done;
    return write_booking(s_, *booked_);
  }

 private:
  // What differs and no more: an index on none of it is left alone.
  result<void> update() {
    const column_set changed = columns_of_update(*before_, *after_);
    statement& s = s_.update_task.of(changed);
    const use guard(s);
    // The statement asks for the revision that the change was made from.
    bind_update(s, changed, *after_);
    if (auto ok = run(s); !ok) return ok;
    if (s_.connection.changes() == 1)
      return leaves_its_list() ? s_.connection.run("UPDATE process SET deletions=deletions+1")
                               : result<void>{};
    return fail(errc::conflict,
                "task " + after_->id + " is no longer at revision " + std::to_string(after_->revision));
  }

  // Pages below it begin elsewhere from now on.
  bool leaves_its_list() const { return before_ && before_->deleted_at != after_->deleted_at; }

  result<void> insert() {
    // The same transaction that would write it tells whether it was written before.
    if (record_ && !record_->stands_alone) {
      auto found = record_->what == idempotency_record::kind::key ? find_key() : find_retry();
      if (!found || *found) return found ? result<void>{} : std::unexpected(std::move(found.error()));
    }
    {
      const column_set filled = columns_of_insert(*after_);
      statement& s = s_.insert_task.of(filled);
      const use guard(s);
      bind_insert(s, filled, *after_);
      if (auto ok = run(s); !ok) return ok;
      after_->row = s_.connection.last_row();
    }
    return record_ ? insert_record() : result<void>{};
  }

  // True: the key is taken, and value_ says by what.
  result<bool> find_key() {
    std::int64_t expired = 0;
    {
      const use guard(s_.find_key);
      s_.find_key.bind(1, after_->owner).bind(2, record_->digest);
      const auto row = s_.find_key.step();
      if (!row) return std::unexpected(row.error());
      if (!*row) return false;
      // Of the time that counts: it is taken. Older: it makes way.
      if (from_column(s_.find_key.integer(3)) >= record_->since) {
        const bool same = std::ranges::equal(s_.find_key.blob(2), record_->request);
        value_.what = same ? outcome::repeated : outcome::other_request;
        value_.task_id = s_.find_key.text(1);
        return true;
      }
      expired = s_.find_key.integer(0);
    }
    const use guard(s_.drop_record);
    s_.drop_record.bind(1, expired);
    if (auto dropped = run(s_.drop_record); !dropped) return std::unexpected(std::move(dropped.error()));
    return false;
  }

  result<bool> find_retry() {
    std::int64_t row_id = 0;
    {
      const use guard(s_.find_retry);
      s_.find_retry.bind(1, after_->owner)
          .bind(2, record_->digest)
          .bind(3, std::int64_t{record_->retries})
          .bind(4, to_column(record_->since));
      const auto row = s_.find_retry.step();
      if (!row) return std::unexpected(row.error());
      if (!*row) return false;
      row_id = s_.find_retry.integer(0);
      value_.what = outcome::repeated;
      value_.task_id = s_.find_retry.text(1);
    }
    // The next retry of the same create has a higher number, and finds it again.
    const use guard(s_.count_retry);
    s_.count_retry.bind(1, row_id).bind(2, std::int64_t{record_->retries});
    if (auto counted = run(s_.count_retry); !counted) return std::unexpected(std::move(counted.error()));
    return true;
  }

  result<void> insert_record() {
    const use guard(s_.insert_record);
    s_.insert_record.bind(1, after_->owner)
        .bind(2, std::string_view(record_->what == idempotency_record::kind::key ? "key" : "retry"))
        .bind(3, record_->digest)
        .bind(4, record_->request)
        .bind(5, after_->id)
        .bind(6, std::int64_t{record_->retries})
        .bind(7, to_column(after_->created_at));
    return run(s_.insert_record);
  }

  void committed() override {
    if (value_.what != outcome::written) return;
    // The revision that is on disk now.
    ++after_->revision;
    value_.value = std::move(after_);
    memory_.saved(before_, value_.value);
  }
  void refused(const error& e) override {
    if (before_ && e.code == errc::conflict) memory_.conflicted(*before_);
  }

  const task_listener& memory_;
  const task_ptr before_;
  std::shared_ptr<task> after_;  // not shared before committed()
  const std::optional<idempotency_record> record_;
  const std::shared_ptr<const booking> booked_;
};

}  // namespace

write_statements::write_statements(db& d)
    : connection(d),
      insert_task(d, insert_task_sql),
      update_task(d, update_task_sql),
      insert_account(
          d.prepare("INSERT INTO account(name,note,contact,enabled,webhook_secret,weight,actions,prepaid,"
                    "price_group,models,pending_limit,open_limit,creates_per_minute,requests_per_minute,"
                    "batch_limit,created_at,revision) "
                    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,1)")),
      update_account(d.prepare(
          "UPDATE account SET name=?3,note=?4,contact=?5,enabled=?6,webhook_secret=?7,weight=?8,actions=?9,"
          "prepaid=?10,price_group=?11,models=?12,pending_limit=?13,open_limit=?14,creates_per_minute=?15,"
          "requests_per_minute=?16,batch_limit=?17,revision=revision+1 WHERE id=?1 AND revision=?2")),
      find_account(d.prepare("SELECT 1 FROM account WHERE id=?1")),
      insert_token(d.prepare(
          "INSERT INTO token(account,name,digest,hint,created_at,expires_at,addresses,pending_limit,"
          "open_limit,creates_per_minute,requests_per_minute,batch_limit) "
          "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12)")),
      find_token(d.prepare(select_tokens("WHERE id=?1 AND revoked_at=0").c_str())),
      change_token(
          d.prepare("UPDATE token SET name=?2,expires_at=?3,addresses=?4,pending_limit=?5,open_limit=?6,"
                    "creates_per_minute=?7,requests_per_minute=?8,batch_limit=?9 WHERE id=?1")),
      revoke_token(d.prepare("UPDATE token SET revoked_at=?2 WHERE id=?1 AND revoked_at=0")),
      rotate_token(d.prepare("UPDATE token SET digest=?2,hint=?3,old_digest=?4,old_ends_at=?5 WHERE id=?1")),
      note_use(d.prepare("UPDATE token SET last_used=max(last_used,?2) WHERE id=?1")),
      find_key(d.prepare("SELECT id,task_id,request,created_at FROM idempotency "
                         "WHERE owner=?1 AND digest=?2 AND kind='key'")),
      drop_record(d.prepare("DELETE FROM idempotency WHERE id=?1")),
      // The newest of those whose last send came before this one: two equal jobs of one client that are both
      // sent again find one each.
      find_retry(d.prepare(
          "SELECT id,task_id FROM idempotency WHERE owner=?1 AND digest=?2 AND kind='retry' "
          "AND retries<?3 AND created_at>=?4 AND NOT EXISTS(SELECT 1 FROM task WHERE "
          "task.task_id=idempotency.task_id AND task.deleted_at>0) ORDER BY retries DESC,id DESC LIMIT 1")),
      count_retry(d.prepare("UPDATE idempotency SET retries=?2 WHERE id=?1")),
      insert_record(d.prepare("INSERT INTO idempotency(owner,kind,digest,request,task_id,retries,created_at) "
                              "VALUES(?1,?2,?3,?4,?5,?6,?7)")),
      purge_records(
          d.prepare("DELETE FROM idempotency WHERE id IN "
                    "(SELECT id FROM idempotency WHERE created_at<?1 ORDER BY created_at LIMIT ?2)")),
      // Ids begin with the time of creation, which is not after the end.
      old_tasks(d.prepare("SELECT id,task_id,status FROM task WHERE task_id<?1 "
                          "AND +status IN ('completed','failed') AND finish_time<?2 AND next_poll_at=0 "
                          "AND next_reconcile_at=0 AND next_callback_at=0 AND next_remove_at=0 "
                          "ORDER BY task_id LIMIT ?3")),
      delete_task(d.prepare("DELETE FROM task WHERE id=?1")),
      begin_log(
          d.prepare("UPDATE process SET log_number=log_number+1,log_check=database_id||' '||(log_number+1)")),
      keep_lane(d.prepare("INSERT INTO upstream(name,mode,at_once,in_minute) VALUES(?1,?2,?3,?4) "
                          "ON CONFLICT(name) DO UPDATE SET mode=?2,at_once=?3,in_minute=?4")),
      // Two statements: one with RETURNING makes a table of its own each time.
      find_balance(d.prepare("SELECT balance,held,prepaid FROM account WHERE id=?1")),
      set_balance(d.prepare("UPDATE account SET balance=?2,held=?3 WHERE id=?1")),
      insert_ledger(d.prepare(
          "INSERT INTO ledger(account,kind,amount,held,cost,balance_after,held_after,task_id,token,upstream,"
          "upstream_id,request_id,note,made_by,created_at) "
          "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)")),
      add_usage(
          d.prepare("INSERT INTO "
                    "usage(account,day,token,action,model,upstream,outcome,jobs,amount,cost,wait_ms,run_ms) "
                    "VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12) ON CONFLICT DO UPDATE SET jobs=jobs+?8,"
                    "amount=amount+?9,cost=cost+?10,wait_ms=wait_ms+?11,run_ms=run_ms+?12")),
      // Of a job that was counted under other words, or before jobs were counted, nothing is taken back.
      take_usage(d.prepare("UPDATE usage SET jobs=jobs+?8,amount=amount+?9,cost=cost+?10,wait_ms=wait_ms+?11,"
                           "run_ms=run_ms+?12 WHERE account=?1 AND day=?2 AND token=?3 AND action=?4 AND "
                           "model=?5 AND upstream=?6 AND outcome=?7 AND jobs>0")),
      drop_usage(d.prepare("DELETE FROM usage WHERE account=?1 AND day=?2 AND token=?3 AND action=?4 AND "
                           "model=?5 AND upstream=?6 AND outcome=?7 AND jobs=0 AND amount=0 AND cost=0")),
      insert_audit(d.prepare("INSERT INTO audit(made_by,operation,target,before,after,request_id,"
                             "idempotency_key,request,created_at) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)")),
      insert_admin_token(d.prepare("INSERT INTO admin_token(name,role,digest,hint,created_at,expires_at) "
                                   "VALUES(?1,?2,?3,?4,?5,?6)")),
      find_admin_token(d.prepare(select_admin_tokens("WHERE id=?1 AND revoked_at=0").c_str())),
      revoke_admin_token(d.prepare("UPDATE admin_token SET revoked_at=?2 WHERE id=?1")),
      keep_response(d.prepare(
          "INSERT OR IGNORE INTO admin_response(audit,status,body,etag,location) SELECT id,?3,?4,?5,?6 FROM "
          "audit WHERE made_by=?1 AND idempotency_key=?2 AND idempotency_key<>''")) {}

std::unique_ptr<write> write_task(write_statements& s, const task_listener& memory, change c,
                                  completion<written_change> done) {
  return std::make_unique<task_write>(s, memory, std::move(c), std::move(done));
}

}  // namespace relay::sqlite
