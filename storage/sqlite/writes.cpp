#include "storage/sqlite/writes.hpp"

#include <algorithm>
#include <utility>

#include "storage/sqlite/rows.hpp"
#include "storage/sqlite/write_of.hpp"

namespace relay::sqlite {

write_statements::write_statements(db& d)
    : connection(d),
      insert_task(
          d.prepare("INSERT INTO task(" RELAY_TASK_COLUMNS
                    ") VALUES(NULL,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,"
                    "?20,?21,?22,?23,?24,?25,?26,?27,?28,?29,?30,?31,?32,?33,?34,?35,?36,?37,?38+1)")),
      // What a client asked for never changes after the insert: only what happens to it does.
      save_task(d.prepare(
          "UPDATE task SET status=?12,progress=?13,upstream=?14,marker=?15,upstream_id=?16,data=?17,"
          "fail_reason=?18,fail_status=?19,attempts=?20,misses=?21,not_found=?22,owed=?23,callbacks_done=?24,"
          "callback_attempts=?25,callback_stopped=?26,callback_problem=?27,next_submit_at=?28,"
          "next_poll_at=?29,next_reconcile_at=?30,next_callback_at=?31,deadline=?32,attempted_at=?33,"
          "ambiguous_at=?34,start_time=?35,finish_time=?36,updated_at=?37,revision=?38+1 "
          "WHERE task_id=?1 AND revision=?38")),
      insert_token(d.prepare("INSERT INTO token(name,digest,hint,created_at,webhook_secret) "
                             "VALUES(?1,?2,?3,?4,?5)")),
      find_token(d.prepare("SELECT " RELAY_TOKEN_COLUMNS " FROM token WHERE name=?1 AND revoked_at=0")),
      revoke_token(d.prepare("UPDATE token SET revoked_at=?2 WHERE id=?1 AND revoked_at=0")),
      set_webhook(d.prepare("UPDATE token SET webhook_secret=?2 WHERE id=?1")),
      find_key(d.prepare("SELECT id,task_id,request,created_at FROM claim "
                         "WHERE owner=?1 AND digest=?2 AND kind='key'")),
      drop_claim(d.prepare("DELETE FROM claim WHERE id=?1")),
      // The newest of those whose last send came before this one: two equal jobs of one client that are both
      // sent again find one each.
      find_repeat(d.prepare("SELECT id,task_id FROM claim WHERE owner=?1 AND digest=?2 AND kind='repeat' "
                            "AND repeats<?3 AND created_at>=?4 ORDER BY repeats DESC,id DESC LIMIT 1")),
      count_repeat(d.prepare("UPDATE claim SET repeats=?2 WHERE id=?1")),
      insert_claim(d.prepare("INSERT INTO claim(owner,kind,digest,request,task_id,repeats,created_at) "
                             "VALUES(?1,?2,?3,?4,?5,?6,?7)")),
      purge_claims(d.prepare("DELETE FROM claim WHERE id IN "
                             "(SELECT id FROM claim WHERE created_at<?1 ORDER BY created_at LIMIT ?2)")),
      // Ids begin with the time of creation, which is not after the end.
      old_tasks(
          d.prepare("SELECT id,task_id FROM task WHERE task_id<?1 AND +status IN ('completed','failed') "
                    "AND finish_time<?2 AND next_poll_at=0 AND next_callback_at=0 "
                    "ORDER BY task_id LIMIT ?3")),
      delete_task(d.prepare("DELETE FROM task WHERE id=?1")) {}

namespace {

class task_insert final : public write_of<inserted> {
 public:
  task_insert(write_statements& s, const saved_function& saved, task t, std::optional<claim> c,
              written<inserted> done)
      : write_of(s, {inserted::outcome::fresh, std::move(t), {}}, std::move(done)),
        saved_(saved),
        claim_(c) {}

  result<void> apply() override {
    value_.what = inserted::outcome::fresh;
    if (claim_) {
      auto found = claim_->what == claim::kind::key ? find_key() : find_repeat();
      if (!found || *found) return found ? result<void>{} : std::unexpected(std::move(found.error()));
    }
    {
      const use guard(s_.insert_task);
      bind_task(s_.insert_task, value_.value);
      if (auto ok = run(s_.insert_task); !ok) return ok;
      value_.value.row = s_.connection.last_row();
    }
    return claim_ ? keep_claim() : result<void>{};
  }

 private:
  // True: the key is taken, and value_ says by what.
  result<bool> find_key() {
    std::int64_t expired = 0;
    {
      const use guard(s_.find_key);
      s_.find_key.bind(1, value_.value.owner).bind(2, claim_->digest);
      const auto row = s_.find_key.step();
      if (!row) return std::unexpected(row.error());
      if (!*row) return false;
      if (from_column(s_.find_key.integer(3)) >= claim_->since) {
        const bool same = std::ranges::equal(s_.find_key.blob(2), claim_->request);
        value_.what = same ? inserted::outcome::repeated : inserted::outcome::other_request;
        value_.task_id = s_.find_key.text(1);
        return true;
      }
      expired = s_.find_key.integer(0);
    }
    const use guard(s_.drop_claim);
    s_.drop_claim.bind(1, expired);
    if (auto dropped = run(s_.drop_claim); !dropped) return std::unexpected(std::move(dropped.error()));
    return false;
  }

  result<bool> find_repeat() {
    std::int64_t row_id = 0;
    {
      const use guard(s_.find_repeat);
      s_.find_repeat.bind(1, value_.value.owner)
          .bind(2, claim_->digest)
          .bind(3, std::int64_t{claim_->repeats})
          .bind(4, to_column(claim_->since));
      const auto row = s_.find_repeat.step();
      if (!row) return std::unexpected(row.error());
      if (!*row) return false;
      row_id = s_.find_repeat.integer(0);
      value_.what = inserted::outcome::repeated;
      value_.task_id = s_.find_repeat.text(1);
    }
    const use guard(s_.count_repeat);
    s_.count_repeat.bind(1, row_id).bind(2, std::int64_t{claim_->repeats});
    if (auto counted = run(s_.count_repeat); !counted) return std::unexpected(std::move(counted.error()));
    return true;
  }

  result<void> keep_claim() {
    const use guard(s_.insert_claim);
    s_.insert_claim.bind(1, value_.value.owner)
        .bind(2, std::string_view(claim_->what == claim::kind::key ? "key" : "repeat"))
        .bind(3, claim_->digest)
        .bind(4, claim_->request)
        .bind(5, value_.value.id)
        .bind(6, std::int64_t{claim_->repeats})
        .bind(7, to_column(value_.value.created_at));
    return run(s_.insert_claim);
  }

  void committed() override {
    if (value_.what != inserted::outcome::fresh) return;
    ++value_.value.revision;
    saved_(value_.value);
  }

  const saved_function& saved_;
  std::optional<claim> claim_;
};

class task_save final : public write_of<task> {
 public:
  task_save(write_statements& s, const saved_function& saved, task t, written<task> done)
      : write_of(s, std::move(t), std::move(done)), saved_(saved) {}

  result<void> apply() override {
    const use guard(s_.save_task);
    bind_changes(s_.save_task, value_);
    if (auto ok = run(s_.save_task); !ok) return ok;
    if (s_.connection.changes() != 1) {
      return fail(errc::conflict,
                  "task " + value_.id + " is no longer at revision " + std::to_string(value_.revision));
    }
    return {};
  }

 private:
  void committed() override {
    ++value_.revision;
    saved_(value_);
  }
  const saved_function& saved_;
};

}  // namespace

std::unique_ptr<write> write_new_task(write_statements& s, const saved_function& saved, task t,
                                      std::optional<claim> c, written<inserted> done) {
  t.revision = 0;  // stored as 1
  return std::make_unique<task_insert>(s, saved, std::move(t), c, std::move(done));
}

std::unique_ptr<write> write_task(write_statements& s, const saved_function& saved, task t,
                                  written<task> done) {
  return std::make_unique<task_save>(s, saved, std::move(t), std::move(done));
}

}  // namespace relay::sqlite
