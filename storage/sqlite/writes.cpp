#include "storage/sqlite/writes.hpp"

#include <utility>

#include "storage/sqlite/rows.hpp"

namespace relay::sqlite {

write_statements::write_statements(db& d)
    : connection(d),
      insert_task(
          d.prepare("INSERT INTO task(task_id,owner,dialect,endpoint,platform,action,status,progress,request,"
                    "callback_url,upstream,pinned,upstream_id,data,fail_reason,fail_status,attempts,misses,"
                    "not_found,next_submit_at,next_poll_at,next_callback_at,deadline,submit_time,start_time,"
                    "finish_time,created_at,updated_at,revision) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,"
                    "?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,?29+1)")),
      // What a client asked for never changes after the insert: only what happens to it does.
      save_task(
          d.prepare("UPDATE task SET status=?2,progress=?3,upstream=?4,upstream_id=?5,data=?6,fail_reason=?7,"
                    "fail_status=?8,attempts=?9,misses=?10,not_found=?11,next_submit_at=?12,next_poll_at=?13,"
                    "next_callback_at=?14,deadline=?15,start_time=?16,finish_time=?17,updated_at=?18,"
                    "revision=?19+1 WHERE task_id=?1 AND revision=?19")),
      insert_token(d.prepare("INSERT INTO token(name,digest,hint,created_at) VALUES(?1,?2,?3,?4)")),
      find_token(d.prepare(
          "SELECT id,name,digest,hint,created_at,revoked_at FROM token WHERE name=?1 AND revoked_at=0")),
      revoke_token(d.prepare("UPDATE token SET revoked_at=?2 WHERE id=?1 AND revoked_at=0")) {}

namespace {

result<void> run(statement& s) {
  auto row = s.step();
  if (!row) return std::unexpected(std::move(row.error()));
  return {};
}

// A write of one value, which `done` gets as it is on disk.
template <class T>
class write_of : public write {
 public:
  write_of(write_statements& s, T value, written<T> done)
      : s_(s), value_(std::move(value)), done_(std::move(done)) {}

  void finish(result<void> outcome) final {
    if (!outcome) return done_(std::unexpected(std::move(outcome.error())));
    committed();
    done_(std::move(value_));
  }

 protected:
  virtual void committed() {}

  write_statements& s_;
  T value_;

 private:
  written<T> done_;
};

class write_of_task : public write_of<task> {
 public:
  write_of_task(write_statements& s, const saved_function& saved, task t, written<task> done)
      : write_of(s, std::move(t), std::move(done)), saved_(saved) {}

 private:
  void committed() override {
    ++value_.revision;
    saved_(value_);
  }
  const saved_function& saved_;
};

class task_insert final : public write_of_task {
 public:
  using write_of_task::write_of_task;
  result<void> apply() override {
    const use guard(s_.insert_task);
    bind_task(s_.insert_task, value_);
    if (auto ok = run(s_.insert_task); !ok) return ok;
    value_.row = s_.connection.last_row();
    return {};
  }
};

class task_save final : public write_of_task {
 public:
  using write_of_task::write_of_task;
  result<void> apply() override {
    const task& t = value_;
    statement& s = s_.save_task;
    const use guard(s);
    s.bind(1, t.id)
        .bind(2, name_of(t.state))
        .bind(3, std::int64_t{t.progress})
        .bind(4, t.upstream)
        .bind(5, t.upstream_id);
    s.bind(6, t.reply)
        .bind(7, t.fail_reason)
        .bind(8, std::int64_t{t.fail_status})
        .bind(9, std::int64_t{t.attempts});
    s.bind(10, std::int64_t{t.misses})
        .bind(11, std::int64_t{t.not_found})
        .bind(12, to_column(t.next_submit_at));
    s.bind(13, to_column(t.next_poll_at))
        .bind(14, to_column(t.next_callback_at))
        .bind(15, to_column(t.deadline));
    s.bind(16, to_column(t.started_at)).bind(17, to_column(t.finished_at)).bind(18, to_column(t.updated_at));
    s.bind(19, t.revision);
    if (auto ok = run(s); !ok) return ok;
    if (s_.connection.changes() != 1) {
      return fail(errc::conflict, "task " + t.id + " is no longer at revision " + std::to_string(t.revision));
    }
    return {};
  }
};

class token_insert final : public write_of<token> {
 public:
  using write_of::write_of;
  result<void> apply() override {
    const use guard(s_.insert_token);
    s_.insert_token.bind(1, value_.name)
        .bind(2, value_.digest)
        .bind(3, value_.hint)
        .bind(4, to_column(value_.created_at));
    auto ok = run(s_.insert_token);
    if (!ok && ok.error().code == errc::conflict) {
      return fail(errc::conflict, "there is a token named \"" + value_.name +
                                      "\" already; revoke it first, or choose another name");
    }
    value_.id = s_.connection.last_row();
    return ok;
  }
};

class token_revoke final : public write_of<token> {
 public:
  token_revoke(write_statements& s, std::string name, timestamp now, written<token> done)
      : write_of(s, {}, std::move(done)), name_(std::move(name)), now_(now) {}
  result<void> apply() override {
    {
      const use guard(s_.find_token);
      s_.find_token.bind(1, name_);
      const auto row = s_.find_token.step();
      if (!row) return std::unexpected(row.error());
      if (!*row)
        return fail(errc::task_not_found,
                    "there is no token named \"" + name_ + "\"; `luma-relay token list` shows them");
      value_ = read_token(s_.find_token);
    }
    const use guard(s_.revoke_token);
    s_.revoke_token.bind(1, value_.id).bind(2, to_column(now_));
    value_.revoked_at = now_;
    return run(s_.revoke_token);
  }

 private:
  std::string name_;
  timestamp now_;
};

}  // namespace

std::unique_ptr<write> write_new_task(write_statements& s, const saved_function& saved, task t,
                                      written<task> done) {
  t.revision = 0;  // stored as 1
  return std::make_unique<task_insert>(s, saved, std::move(t), std::move(done));
}

std::unique_ptr<write> write_task(write_statements& s, const saved_function& saved, task t,
                                  written<task> done) {
  return std::make_unique<task_save>(s, saved, std::move(t), std::move(done));
}

std::unique_ptr<write> write_new_token(write_statements& s, token t, written<token> done) {
  return std::make_unique<token_insert>(s, std::move(t), std::move(done));
}

std::unique_ptr<write> write_revocation(write_statements& s, std::string name, timestamp now,
                                        written<token> done) {
  return std::make_unique<token_revoke>(s, std::move(name), now, std::move(done));
}

}  // namespace relay::sqlite
