#include "storage/sqlite/sqlite_store.hpp"

#include <utility>

#include "common/lru.hpp"
#include "storage/sqlite/db.hpp"
#include "storage/sqlite/group_commit.hpp"
#include "storage/sqlite/lock_file.hpp"
#include "storage/sqlite/rows.hpp"

namespace relay {
namespace sqlite {
namespace {

// Prepared once; store thread only.
struct write_statements {
  explicit write_statements(db& d)
      : connection(d),
        insert_task(d.prepare(
            "INSERT INTO task(task_id,owner,dialect,endpoint,platform,action,status,progress,request,"
            "callback_url,upstream,pinned,upstream_id,data,fail_reason,fail_status,attempts,misses,"
            "not_found,next_submit_at,next_poll_at,next_callback_at,deadline,submit_time,start_time,"
            "finish_time,created_at,updated_at,revision) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,"
            "?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26,?27,?28,?29)")),
        // What a client asked for never changes after the insert: only what happens to it does.
        save_task(d.prepare(
            "UPDATE task SET status=?2,progress=?3,upstream=?4,upstream_id=?5,data=?6,fail_reason=?7,"
            "fail_status=?8,attempts=?9,misses=?10,not_found=?11,next_submit_at=?12,next_poll_at=?13,"
            "next_callback_at=?14,deadline=?15,start_time=?16,finish_time=?17,updated_at=?18,"
            "revision=?19+1 WHERE task_id=?1 AND revision=?19")),
        insert_token(d.prepare("INSERT INTO token(name,digest,hint,created_at) VALUES(?1,?2,?3,?4)")),
        find_token(d.prepare(
            "SELECT id,name,digest,hint,created_at,revoked_at FROM token WHERE name=?1 AND revoked_at=0")),
        revoke_token(d.prepare("UPDATE token SET revoked_at=?2 WHERE id=?1 AND revoked_at=0")) {}

  db& connection;
  statement insert_task, save_task, insert_token, find_token, revoke_token;
};

result<void> run(statement& s) {
  auto row = s.step();
  if (!row) return std::unexpected(std::move(row.error()));
  return {};
}

// Loop thread: keeps the new revision for reading and tells who waits for it.
using saved_function = std::function<void(const task&)>;

class task_insert final : public write {
 public:
  task_insert(write_statements& s, const saved_function& saved, task t, written<task> done)
      : s_(s), saved_(saved), task_(std::move(t)), done_(std::move(done)) {
    task_.revision = 1;
  }
  result<void> apply() override {
    const use guard(s_.insert_task);
    bind_task(s_.insert_task, task_);
    if (auto ok = run(s_.insert_task); !ok) return ok;
    task_.row = s_.connection.last_row();
    return {};
  }
  void finish(result<void> outcome) override {
    if (!outcome) return done_(std::unexpected(std::move(outcome.error())));
    saved_(task_);
    done_(std::move(task_));
  }

 private:
  write_statements& s_;
  const saved_function& saved_;
  task task_;
  written<task> done_;
};

class task_save final : public write {
 public:
  task_save(write_statements& s, const saved_function& saved, task t, written<task> done)
      : s_(s), saved_(saved), task_(std::move(t)), done_(std::move(done)) {}
  result<void> apply() override {
    const task& t = task_;
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
  void finish(result<void> outcome) override {
    if (!outcome) return done_(std::unexpected(std::move(outcome.error())));
    ++task_.revision;
    saved_(task_);
    done_(std::move(task_));
  }

 private:
  write_statements& s_;
  const saved_function& saved_;
  task task_;
  written<task> done_;
};

class token_insert final : public write {
 public:
  token_insert(write_statements& s, token t, written<token> done)
      : s_(s), token_(std::move(t)), done_(std::move(done)) {}
  result<void> apply() override {
    const use guard(s_.insert_token);
    s_.insert_token.bind(1, token_.name)
        .bind(2, token_.digest)
        .bind(3, token_.hint)
        .bind(4, to_column(token_.created_at));
    auto ok = run(s_.insert_token);
    if (!ok && ok.error().code == errc::conflict) {
      return fail(errc::conflict, "there is a token named \"" + token_.name +
                                      "\" already; revoke it first, or choose another name");
    }
    token_.id = s_.connection.last_row();
    return ok;
  }
  void finish(result<void> outcome) override {
    if (!outcome) return done_(std::unexpected(std::move(outcome.error())));
    done_(std::move(token_));
  }

 private:
  write_statements& s_;
  token token_;
  written<token> done_;
};

class token_revoke final : public write {
 public:
  token_revoke(write_statements& s, std::string name, timestamp now, written<token> done)
      : s_(s), name_(std::move(name)), now_(now), done_(std::move(done)) {}
  result<void> apply() override {
    {
      const use guard(s_.find_token);
      s_.find_token.bind(1, name_);
      const auto row = s_.find_token.step();
      if (!row) return std::unexpected(row.error());
      if (!*row)
        return fail(errc::task_not_found,
                    "there is no token named \"" + name_ + "\"; `luma-relay token list` shows them");
      token_ = read_token(s_.find_token);
    }
    const use guard(s_.revoke_token);
    s_.revoke_token.bind(1, token_.id).bind(2, to_column(now_));
    token_.revoked_at = now_;
    return run(s_.revoke_token);
  }
  void finish(result<void> outcome) override {
    if (!outcome) return done_(std::unexpected(std::move(outcome.error())));
    done_(std::move(token_));
  }

 private:
  write_statements& s_;
  std::string name_;
  timestamp now_;
  token token_;
  written<token> done_;
};

// Prepared once; loop thread only.
struct read_statements {
  explicit read_statements(db& d)
      : find(d.prepare("SELECT " RELAY_TASK_COLUMNS " FROM task WHERE task_id=?1 AND owner=?2")),
        list(d.prepare("SELECT " RELAY_TASK_COLUMNS
                       " FROM task WHERE owner=?1 ORDER BY id DESC LIMIT ?2 OFFSET ?3")),
        due_submit(d.prepare("SELECT " RELAY_TASK_COLUMNS
                             " FROM task WHERE next_submit_at>0 AND next_submit_at<=?1 "
                             "ORDER BY next_submit_at LIMIT ?2 OFFSET ?3")),
        due_poll(d.prepare("SELECT " RELAY_TASK_COLUMNS
                           " FROM task WHERE next_poll_at>0 AND next_poll_at<=?1 "
                           "ORDER BY next_poll_at LIMIT ?2 OFFSET ?3")),
        next_submit(d.prepare("SELECT min(next_submit_at) FROM task WHERE next_submit_at>0")),
        next_poll(d.prepare("SELECT min(next_poll_at) FROM task WHERE next_poll_at>0")),
        in_state(d.prepare("SELECT " RELAY_TASK_COLUMNS " FROM task WHERE status=?1 ORDER BY id LIMIT ?2")),
        count(d.prepare("SELECT status,count(*) FROM task GROUP BY status")),
        count_open(d.prepare(
            "SELECT count(*) FROM task WHERE status IN ('submitting','queued','dreaming') AND upstream=?1")),
        tokens(d.prepare("SELECT id,name,digest,hint,created_at,revoked_at FROM token ORDER BY id")) {}

  statement find, list, due_submit, due_poll, next_submit, next_poll, in_state, count, count_open, tokens;
};

result<std::vector<task>> read_all(statement& s) {
  std::vector<task> out;
  for (;;) {
    auto row = s.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return out;
    out.push_back(read_task(s));
  }
}

class sqlite_store final : public store {
 public:
  sqlite_store(lock_file lock, db writer, db reader, const sqlite_options& options, store_hooks hooks)
      : lock_(std::move(lock)),
        hooks_(std::move(hooks)),
        writer_(std::move(writer)),
        reader_(std::move(reader)),
        write_(writer_),
        read_(reader_),
        cache_(options.cache_tasks),
        // Into the cache before anybody is told, so that whoever is told reads the new revision.
        saved_([this](const task& t) { hooks_.saved(keep(t)); }),
        commits_(writer_, hooks_, options.queue_limit) {}
  ~sqlite_store() override { close(); }

  result<task_ptr> find(std::int64_t owner, const std::string& id) override {
    if (const task_ptr* kept = cache_.find(id)) return (*kept)->owner == owner ? *kept : nullptr;
    const use guard(read_.find);
    read_.find.bind(1, id).bind(2, owner);
    auto row = read_.find.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return nullptr;
    return keep(read_task(read_.find));
  }

  result<std::vector<task_ptr>> find_many(std::int64_t owner, const std::vector<std::string>& ids) override {
    std::vector<task_ptr> out;
    out.reserve(ids.size());
    for (const std::string& id : ids) {
      auto t = find(owner, id);
      if (!t) return std::unexpected(std::move(t.error()));
      if (*t) out.push_back(std::move(*t));
    }
    return out;
  }

  result<task_page> list(std::int64_t owner, std::int64_t limit, std::int64_t offset) override {
    const use guard(read_.list);
    read_.list.bind(1, owner).bind(2, limit + 1).bind(3, offset);  // one more tells whether there are more
    auto rows = read_all(read_.list);
    if (!rows) return std::unexpected(std::move(rows.error()));
    task_page page{std::move(*rows), false};
    page.has_more = std::ssize(page.tasks) > limit;
    if (page.has_more) page.tasks.pop_back();
    return page;
  }

  result<std::vector<task>> due(schedule which, timestamp now, std::int64_t limit,
                                std::int64_t offset) override {
    statement& s = which == schedule::submit ? read_.due_submit : read_.due_poll;
    const use guard(s);
    s.bind(1, to_column(now)).bind(2, limit).bind(3, offset);
    return read_all(s);
  }

  result<timestamp> next_due(schedule which) override {
    statement& s = which == schedule::submit ? read_.next_submit : read_.next_poll;
    const use guard(s);
    auto row = s.step();
    if (!row) return std::unexpected(std::move(row.error()));
    return from_column(s.integer(0));
  }

  result<std::vector<task>> in_state(task_state state, std::int64_t limit) override {
    const use guard(read_.in_state);
    read_.in_state.bind(1, name_of(state)).bind(2, limit);
    return read_all(read_.in_state);
  }

  result<std::vector<state_count>> count_by_state() override {
    const use guard(read_.count);
    std::vector<state_count> out;
    for (;;) {
      auto row = read_.count.step();
      if (!row) return std::unexpected(std::move(row.error()));
      if (!*row) return out;
      if (const auto state = task_state_from(read_.count.text(0)))
        out.push_back({*state, read_.count.integer(1)});
    }
  }

  result<std::int64_t> count_open(const std::string& upstream) override {
    const use guard(read_.count_open);
    read_.count_open.bind(1, upstream);
    auto row = read_.count_open.step();
    if (!row) return std::unexpected(std::move(row.error()));
    return read_.count_open.integer(0);
  }

  result<std::vector<token>> tokens() override {
    const use guard(read_.tokens);
    std::vector<token> out;
    for (;;) {
      auto row = read_.tokens.step();
      if (!row) return std::unexpected(std::move(row.error()));
      if (!*row) return out;
      out.push_back(read_token(read_.tokens));
    }
  }

  void insert(task t, written<task> done) override {
    commits_.push(std::make_unique<task_insert>(write_, saved_, std::move(t), std::move(done)));
  }
  void save(task t, written<task> done) override {
    commits_.push(std::make_unique<task_save>(write_, saved_, std::move(t), std::move(done)));
  }
  void insert_token(token t, written<token> done) override {
    commits_.push(std::make_unique<token_insert>(write_, std::move(t), std::move(done)));
  }
  void revoke_token(const std::string& name, timestamp now, written<token> done) override {
    commits_.push(std::make_unique<token_revoke>(write_, name, now, std::move(done)));
  }

  std::size_t queued() const override { return commits_.queued(); }
  void close() override { commits_.stop(); }

 private:
  // A read may see a commit before its end was told here: what is newer stays.
  task_ptr keep(task t) {
    if (const task_ptr* kept = cache_.find(t.id); kept != nullptr && (*kept)->revision > t.revision)
      return *kept;
    auto fresh = std::make_shared<const task>(std::move(t));
    cache_.put(fresh->id, fresh);
    return fresh;
  }

  lock_file lock_;
  store_hooks hooks_;
  db writer_;               // store thread, once commits_ runs
  db reader_;               // loop thread
  write_statements write_;  // store thread
  read_statements read_;    // loop thread
  lru<task_ptr> cache_;     // loop thread; never older than what a client was told
  const saved_function saved_;
  group_commit commits_;  // last: its thread uses the above
};

}  // namespace
}  // namespace sqlite

result<std::unique_ptr<store>> open_sqlite_store(const sqlite_options& options, store_hooks hooks) {
  auto lock = sqlite::lock_file::acquire(options.path + ".lock");
  if (!lock) return std::unexpected(std::move(lock.error()));
  auto writer = sqlite::db::open(options.path, sqlite::role::writer);
  if (!writer) return std::unexpected(std::move(writer.error()));
  if (auto done = sqlite::quick_check(*writer); !done) return std::unexpected(std::move(done.error()));
  if (auto done = sqlite::migrate(*writer); !done) return std::unexpected(std::move(done.error()));
  auto reader = sqlite::db::open(options.path, sqlite::role::reader);
  if (!reader) return std::unexpected(std::move(reader.error()));
  return std::make_unique<sqlite::sqlite_store>(std::move(*lock), std::move(*writer), std::move(*reader),
                                                options, std::move(hooks));
}

}  // namespace relay
