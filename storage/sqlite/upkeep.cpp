// The writes beside those of tasks: tokens, the schedule after the clock was set back, what is no longer
// needed.

#include "common/base/id.hpp"
#include "storage/sqlite/rows.hpp"
#include "storage/sqlite/write_of.hpp"

namespace relay::sqlite {
namespace {

std::span<const unsigned char> bytes_of(const secret& s) {
  return {reinterpret_cast<const unsigned char*>(s.reveal().data()), s.reveal().size()};
}

class token_insert final : public write_of<token> {
 public:
  using write_of::write_of;
  result<void> apply() override {
    const use guard(s_.insert_token);
    s_.insert_token.bind(1, value_.name)
        .bind(2, value_.digest)
        .bind(3, value_.hint)
        .bind(4, to_column(value_.created_at))
        .bind(5, bytes_of(value_.webhook));
    auto ok = run(s_.insert_token);
    if (!ok && ok.error().code == errc::conflict) {
      return fail(errc::conflict, "there is a token named \"" + value_.name +
                                      "\" already; revoke it first, or choose another name");
    }
    value_.id = s_.connection.last_row();
    return ok;
  }
};

// Finds the token in force with a name.
result<token> token_named(write_statements& s, const std::string& name) {
  const use guard(s.find_token);
  s.find_token.bind(1, name);
  const auto row = s.find_token.step();
  if (!row) return std::unexpected(row.error());
  if (!*row)
    return fail(errc::task_not_found,
                "there is no token named \"" + name + "\"; `luma-relay token list` shows them");
  return read_token(s.find_token);
}

class token_revoke final : public write_of<token> {
 public:
  token_revoke(write_statements& s, std::string name, timestamp now, written<token> done)
      : write_of(s, {}, std::move(done)), name_(std::move(name)), now_(now) {}
  result<void> apply() override {
    auto found = token_named(s_, name_);
    if (!found) return std::unexpected(std::move(found.error()));
    value_ = std::move(*found);
    const use guard(s_.revoke_token);
    s_.revoke_token.bind(1, value_.id).bind(2, to_column(now_));
    value_.revoked_at = now_;
    return run(s_.revoke_token);
  }

 private:
  std::string name_;
  timestamp now_;
};

class webhook_secret_set final : public write_of<token> {
 public:
  webhook_secret_set(write_statements& s, std::string name, secret bytes, written<token> done)
      : write_of(s, {}, std::move(done)), name_(std::move(name)), bytes_(std::move(bytes)) {}
  result<void> apply() override {
    auto found = token_named(s_, name_);
    if (!found) return std::unexpected(std::move(found.error()));
    value_ = std::move(*found);
    value_.webhook = bytes_;
    const use guard(s_.set_webhook);
    s_.set_webhook.bind(1, value_.id).bind(2, bytes_of(bytes_));
    return run(s_.set_webhook);
  }

 private:
  std::string name_;
  secret bytes_;
};

class schedule_rebase final : public write_of<std::int64_t> {
 public:
  schedule_rebase(write_statements& s, timestamp now, schedule_limits limits, written<std::int64_t> done)
      : write_of(s, 0, std::move(done)), now_(now), limits_(limits) {}
  result<void> apply() override {
    value_ = 0;
    const schedule_limits& l = limits_;
    // Each on an index: only tasks that are on a schedule are read.
    const struct {
      const char* sql;
      milliseconds ahead;
    } steps[] = {
        {"UPDATE task SET next_submit_at=?1 WHERE next_submit_at>0 AND next_submit_at>?2", l.submit},
        {"UPDATE task SET next_poll_at=?1 WHERE next_poll_at>0 AND next_poll_at>?2", l.poll},
        {"UPDATE task SET next_reconcile_at=?1 WHERE next_reconcile_at>0 AND next_reconcile_at>?2",
         l.reconcile},
        {"UPDATE task SET next_callback_at=?1 WHERE next_callback_at>0 AND next_callback_at>?2", l.callback},
        {"UPDATE task SET deadline=?2 WHERE next_submit_at>0 AND deadline>?2", l.submit_deadline},
        {"UPDATE task SET deadline=?2 WHERE status IN ('queued','dreaming') AND deadline>?2", l.job_deadline},
        {"UPDATE task SET deadline=?2 WHERE status='failed' AND next_poll_at>0 AND deadline>?2", l.late_for},
        {"UPDATE task SET ambiguous_at=?1 WHERE next_reconcile_at>0 AND ambiguous_at>?2", milliseconds(0)},
        // When it began is not known: nothing but a list read to its end proves anything about it.
        {"UPDATE task SET attempted_at=1 WHERE status='submitting' AND attempted_at>?2", milliseconds(0)},
    };
    for (const auto& step : steps) {
      statement s = s_.connection.prepare(step.sql);
      s.bind(1, to_column(now_)).bind(2, to_column(now_ + step.ahead));
      if (auto done = run(s); !done) return done;
      value_ += s_.connection.changes();
    }
    return {};
  }

 private:
  timestamp now_;
  schedule_limits limits_;
};

class claim_purge final : public write_of<std::int64_t> {
 public:
  claim_purge(write_statements& s, timestamp before, std::int64_t limit, written<std::int64_t> done)
      : write_of(s, 0, std::move(done)), before_(before), limit_(limit) {}
  result<void> apply() override {
    const use guard(s_.purge_claims);
    s_.purge_claims.bind(1, to_column(before_)).bind(2, limit_);
    if (auto done = run(s_.purge_claims); !done) return done;
    value_ = s_.connection.changes();
    return {};
  }

 private:
  timestamp before_;
  std::int64_t limit_;
};

class task_purge final : public write_of<std::int64_t> {
 public:
  task_purge(write_statements& s, std::function<void(const std::vector<std::string>&)> gone, timestamp before,
             std::int64_t limit, written<std::int64_t> done)
      : write_of(s, 0, std::move(done)), gone_(std::move(gone)), before_(before), limit_(limit) {}
  result<void> apply() override {
    ids_.clear();
    std::vector<std::int64_t> rows;
    {
      const std::string newest = make_task_id(before_, {});
      const use guard(s_.old_tasks);
      s_.old_tasks.bind(1, newest).bind(2, to_column(before_)).bind(3, limit_);
      for (;;) {
        const auto row = s_.old_tasks.step();
        if (!row) return std::unexpected(row.error());
        if (!*row) break;
        rows.push_back(s_.old_tasks.integer(0));
        ids_.emplace_back(s_.old_tasks.text(1));
      }
    }
    for (const std::int64_t row : rows) {
      const use guard(s_.delete_task);
      s_.delete_task.bind(1, row);
      if (auto done = run(s_.delete_task); !done) return done;
    }
    value_ = std::ssize(rows);
    return {};
  }

 private:
  void committed() override { gone_(ids_); }

  std::function<void(const std::vector<std::string>&)> gone_;
  timestamp before_;
  std::int64_t limit_;
  std::vector<std::string> ids_;
};

}  // namespace

std::unique_ptr<write> write_new_token(write_statements& s, token t, written<token> done) {
  return std::make_unique<token_insert>(s, std::move(t), std::move(done));
}

std::unique_ptr<write> write_revocation(write_statements& s, std::string name, timestamp now,
                                        written<token> done) {
  return std::make_unique<token_revoke>(s, std::move(name), now, std::move(done));
}

std::unique_ptr<write> write_webhook_secret(write_statements& s, std::string name, secret bytes,
                                            written<token> done) {
  return std::make_unique<webhook_secret_set>(s, std::move(name), std::move(bytes), std::move(done));
}

std::unique_ptr<write> write_rebase(write_statements& s, timestamp now, schedule_limits limits,
                                    written<std::int64_t> done) {
  return std::make_unique<schedule_rebase>(s, now, limits, std::move(done));
}

std::unique_ptr<write> write_claim_purge(write_statements& s, timestamp before, std::int64_t limit,
                                         written<std::int64_t> done) {
  return std::make_unique<claim_purge>(s, before, limit, std::move(done));
}

std::unique_ptr<write> write_task_purge(write_statements& s,
                                        std::function<void(const std::vector<std::string>&)> gone,
                                        timestamp before, std::int64_t limit, written<std::int64_t> done) {
  return std::make_unique<task_purge>(s, std::move(gone), before, limit, std::move(done));
}

}  // namespace relay::sqlite
