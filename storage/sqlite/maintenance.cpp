// Writes that keep the table in order: schedules after the clock was set back, and what is no longer needed.

#include "common/base/id.hpp"
#include "storage/sqlite/columns.hpp"
#include "storage/sqlite/write_of.hpp"

namespace relay::sqlite {
namespace {

class schedule_rebase final : public write_of<std::int64_t> {
 public:
  schedule_rebase(write_statements& s, timestamp now, schedule_limits limits, completion<std::int64_t> done)
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
        {"UPDATE task SET next_poll_at=?1 WHERE finish_time=0 AND next_poll_at>?2", l.poll},
        {"UPDATE task SET next_poll_at=?1 WHERE status='failed' AND next_poll_at>?2", l.poll},
        {"UPDATE task SET next_reconcile_at=?1 WHERE next_reconcile_at>0 AND next_reconcile_at>?2",
         l.reconcile},
        {"UPDATE task SET next_callback_at=?1 WHERE next_callback_at>0 AND next_callback_at>?2", l.callback},
        {"UPDATE task SET next_remove_at=?1 WHERE next_remove_at>0 AND next_remove_at>?2", l.remove},
        {"UPDATE task SET deadline=?2 WHERE next_submit_at>0 AND deadline>?2", l.submit_deadline},
        {"UPDATE task SET deadline=?2 WHERE finish_time=0 AND status IN ('queued','running') AND deadline>?2",
         l.job_deadline},
        {"UPDATE task SET deadline=?2 WHERE status='failed' AND next_poll_at>0 AND deadline>?2", l.late_for},
        {"UPDATE task SET deadline=?2 WHERE next_reconcile_at>0 AND +status='failed' AND deadline>?2",
         l.late_for},
        {"UPDATE task SET ambiguous_at=?1 WHERE next_reconcile_at>0 AND ambiguous_at>?2", milliseconds(0)},
        // When it began is not known: nothing but a list read to its end proves anything about it.
        {"UPDATE task SET attempted_at=1 WHERE finish_time=0 AND status='submitting' AND attempted_at>?2",
         milliseconds(0)},
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

result<std::int64_t> move_deadlines(db& d, milliseconds by) {
  statement s = d.prepare(
      "UPDATE task SET deadline=deadline+?1,revision=revision+1 "
      "WHERE finish_time=0 AND deadline>0");
  s.bind(1, std::chrono::microseconds(by).count());
  if (auto done = run(s); !done) return std::unexpected(std::move(done.error()));
  return d.changes();
}

result<void> set_alive(db& d, timestamp now) {
  statement s = d.prepare("UPDATE process SET alive_at=?1");
  s.bind(1, to_column(now));
  return run(s);
}

class alive_mark final : public write_of<std::int64_t> {
 public:
  alive_mark(write_statements& s, timestamp now, completion<std::int64_t> done)
      : write_of(s, 0, std::move(done)), now_(now) {}
  result<void> apply() override { return set_alive(s_.connection, now_); }

 private:
  timestamp now_;
};

class resumption final : public write_of<milliseconds> {
 public:
  resumption(write_statements& s, timestamp now, completion<milliseconds> done)
      : write_of(s, milliseconds(0), std::move(done)), now_(now) {}
  result<void> apply() override {
    value_ = milliseconds(0);
    {
      statement last = s_.connection.prepare("SELECT alive_at FROM process");
      const auto row = last.step();
      if (!row) return std::unexpected(row.error());
      // 0 in a database that no process has had yet.
      if (*row && last.integer(0) > 0)
        value_ = std::chrono::floor<milliseconds>(now_ - from_column(last.integer(0)));
    }
    // A clock that was set back since says nothing.
    value_ = std::max(value_, milliseconds(0));
    if (value_.count() > 0) {
      if (auto moved = move_deadlines(s_.connection, value_); !moved) return std::unexpected(moved.error());
    }
    return set_alive(s_.connection, now_);
  }

 private:
  timestamp now_;
};

class deadline_extension final : public write_of<std::int64_t> {
 public:
  deadline_extension(write_statements& s, const std::function<void()>& moved, milliseconds by,
                     completion<std::int64_t> done)
      : write_of(s, 0, std::move(done)), moved_(moved), by_(by) {}
  result<void> apply() override {
    auto n = move_deadlines(s_.connection, by_);
    if (!n) return std::unexpected(std::move(n.error()));
    value_ = *n;
    return {};
  }

 private:
  void committed() override { moved_(); }

  const std::function<void()>& moved_;
  milliseconds by_;
};

class lane_kept final : public write_of<std::int64_t> {
 public:
  lane_kept(write_statements& s, lane_memory m, completion<std::int64_t> done)
      : write_of(s, 0, std::move(done)), what_(std::move(m)) {}
  result<void> apply() override {
    const use guard(s_.keep_lane);
    s_.keep_lane.bind(1, std::string_view(what_.name)).bind(2, name_of(what_.mode));
    s_.keep_lane.bind(3, what_.at_once).bind(4, what_.in_minute);
    return run(s_.keep_lane);
  }

 private:
  lane_memory what_;
};

class end_of_restore final : public write_of<std::int64_t> {
 public:
  end_of_restore(write_statements& s, completion<std::int64_t> done) : write_of(s, 0, std::move(done)) {}
  result<void> apply() override { return s_.connection.run("UPDATE process SET restored_from=0"); }
};

class idempotency_purge final : public write_of<std::int64_t> {
 public:
  idempotency_purge(write_statements& s, timestamp before, std::int64_t limit, completion<std::int64_t> done)
      : write_of(s, 0, std::move(done)), before_(before), limit_(limit) {}
  result<void> apply() override {
    const use guard(s_.purge_records);
    s_.purge_records.bind(1, to_column(before_)).bind(2, limit_);
    if (auto done = run(s_.purge_records); !done) return done;
    value_ = s_.connection.changes();
    return {};
  }

 private:
  timestamp before_;
  std::int64_t limit_;
};

class task_purge final : public write_of<std::int64_t> {
 public:
  task_purge(write_statements& s, const purged_function& purged, timestamp before, std::int64_t limit,
             completion<std::int64_t> done)
      : write_of(s, 0, std::move(done)), purged_(purged), before_(before), limit_(limit) {}
  result<void> apply() override {
    tasks_.clear();
    std::vector<std::int64_t> rows;
    {
      const std::string newest = make_id(before_, {});
      const use guard(s_.old_tasks);
      s_.old_tasks.bind(1, newest).bind(2, to_column(before_)).bind(3, limit_);
      for (;;) {
        const auto row = s_.old_tasks.step();
        if (!row) return std::unexpected(row.error());
        if (!*row) break;
        rows.push_back(s_.old_tasks.integer(0));
        const auto state = task_state_from(s_.old_tasks.text(2));
        tasks_.emplace_back(s_.old_tasks.text(1), state.value_or(task_state::failed));
      }
    }
    for (const std::int64_t row : rows) {
      const use guard(s_.delete_task);
      s_.delete_task.bind(1, row);
      if (auto done = run(s_.delete_task); !done) return done;
    }
    value_ = std::ssize(rows);
    return rows.empty() ? result<void>{} : s_.connection.run("UPDATE process SET deletions=deletions+1");
  }

 private:
  void committed() override { purged_(tasks_); }

  const purged_function& purged_;
  timestamp before_;
  std::int64_t limit_;
  std::vector<std::pair<std::string, task_state>> tasks_;
};

}  // namespace

result<void> begin_log(write_statements& s) {
  const use guard(s.begin_log);
  return run(s.begin_log);
}

std::unique_ptr<write> write_rebase(write_statements& s, timestamp now, schedule_limits limits,
                                    completion<std::int64_t> done) {
  return std::make_unique<schedule_rebase>(s, now, limits, std::move(done));
}

std::unique_ptr<write> write_alive(write_statements& s, timestamp now, completion<std::int64_t> done) {
  return std::make_unique<alive_mark>(s, now, std::move(done));
}

std::unique_ptr<write> write_resume(write_statements& s, timestamp now, completion<milliseconds> done) {
  return std::make_unique<resumption>(s, now, std::move(done));
}

std::unique_ptr<write> write_extension(write_statements& s, const std::function<void()>& moved,
                                       milliseconds by, completion<std::int64_t> done) {
  return std::make_unique<deadline_extension>(s, moved, by, std::move(done));
}

std::unique_ptr<write> write_lane(write_statements& s, lane_memory m, completion<std::int64_t> done) {
  return std::make_unique<lane_kept>(s, std::move(m), std::move(done));
}

std::unique_ptr<write> write_end_of_restore(write_statements& s, completion<std::int64_t> done) {
  return std::make_unique<end_of_restore>(s, std::move(done));
}

std::unique_ptr<write> write_idempotency_purge(write_statements& s, timestamp before, std::int64_t limit,
                                               completion<std::int64_t> done) {
  return std::make_unique<idempotency_purge>(s, before, limit, std::move(done));
}

std::unique_ptr<write> write_task_purge(write_statements& s, const purged_function& purged, timestamp before,
                                        std::int64_t limit, completion<std::int64_t> done) {
  return std::make_unique<task_purge>(s, purged, before, limit, std::move(done));
}

}  // namespace relay::sqlite
