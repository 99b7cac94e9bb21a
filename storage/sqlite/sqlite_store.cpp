#include "storage/sqlite/sqlite_store.hpp"

#include <utility>

#include "common/lru.hpp"
#include "storage/sqlite/db.hpp"
#include "storage/sqlite/group_commit.hpp"
#include "storage/sqlite/lock_file.hpp"
#include "storage/sqlite/rows.hpp"
#include "storage/sqlite/writes.hpp"

namespace relay {
namespace sqlite {
namespace {

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
    commits_.push(write_new_task(write_, saved_, std::move(t), std::move(done)));
  }
  void save(task t, written<task> done) override {
    commits_.push(write_task(write_, saved_, std::move(t), std::move(done)));
  }
  void insert_token(token t, written<token> done) override {
    commits_.push(write_new_token(write_, std::move(t), std::move(done)));
  }
  void revoke_token(const std::string& name, timestamp now, written<token> done) override {
    commits_.push(write_revocation(write_, name, now, std::move(done)));
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
