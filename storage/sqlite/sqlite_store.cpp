#include "storage/sqlite/sqlite_store.hpp"

#include <algorithm>
#include <utility>

#include "common/base/id.hpp"
#include "common/base/lru.hpp"
#include "storage/sqlite/db.hpp"
#include "storage/sqlite/group_commit.hpp"
#include "storage/sqlite/lock_file.hpp"
#include "storage/sqlite/reads.hpp"
#include "storage/sqlite/rows.hpp"
#include "storage/sqlite/writes.hpp"

namespace relay {
namespace sqlite {
namespace {

result<std::int64_t> read_number(statement& s) {
  auto row = s.step();
  if (!row) return std::unexpected(std::move(row.error()));
  return *row ? s.integer(0) : 0;
}

result<std::vector<std::string>> read_texts(statement& s) {
  std::vector<std::string> out;
  for (;;) {
    auto row = s.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return out;
    out.emplace_back(s.text(0));
  }
}

result<timestamp> read_time(statement& s) {
  auto v = read_number(s);
  if (!v) return std::unexpected(std::move(v.error()));
  return from_column(*v);
}

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
    statement& s = which == schedule::submit ? read_.due_submit : read_.due_reconcile;
    const use guard(s);
    s.bind(1, to_column(now)).bind(2, limit).bind(3, offset);
    return read_all(s);
  }

  result<timestamp> next_due(schedule which) override {
    statement& s = which == schedule::submit ? read_.next_submit : read_.next_reconcile;
    const use guard(s);
    return read_time(s);
  }

  result<task_ptr> load(const std::string& id) override {
    if (const task_ptr* kept = cache_.find(id)) return *kept;
    const use guard(read_.load);
    read_.load.bind(1, id);
    auto row = read_.load.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return nullptr;
    return keep(read_task(read_.load));
  }

  result<std::vector<task>> browse(const task_filter& filter) override {
    if (filter.ambiguous) {
      const use guard(read_.ambiguous);
      read_.ambiguous.bind(1, filter.owner.value_or(0)).bind(2, filter.limit);
      return read_all(read_.ambiguous);
    }
    const use guard(read_.browse);
    read_.browse.bind(1, filter.state ? name_of(*filter.state) : std::string_view{})
        .bind(2, filter.owner.value_or(0))
        .bind(3, filter.limit)
        .bind(4, std::int64_t{filter.undelivered});
    return read_all(read_.browse);
  }

  result<std::vector<std::string>> due_polls(const std::string& upstream, timestamp now,
                                             std::int64_t limit) override {
    const use guard(read_.due_polls);
    read_.due_polls.bind(1, upstream).bind(2, to_column(now)).bind(3, limit);
    return read_texts(read_.due_polls);
  }

  result<timestamp> next_poll(const std::string& upstream, timestamp after) override {
    const use guard(read_.next_poll);
    read_.next_poll.bind(1, upstream).bind(2, to_column(after));
    return read_time(read_.next_poll);
  }

  result<std::vector<std::string>> polled_upstreams() override {
    const use guard(read_.polled);
    return read_texts(read_.polled);
  }

  result<std::vector<owed_callback>> due_callbacks(timestamp now, callback_cursor after,
                                                   std::int64_t limit) override {
    const use guard(read_.due_callbacks);
    read_.due_callbacks.bind(1, to_column(now))
        .bind(2, to_column(after.at))
        .bind(3, after.row)
        .bind(4, limit);
    std::vector<owed_callback> out;
    for (;;) {
      auto row = read_.due_callbacks.step();
      if (!row) return std::unexpected(std::move(row.error()));
      if (!*row) return out;
      out.push_back({std::string(read_.due_callbacks.text(0)),
                     std::string(read_.due_callbacks.text(1)),
                     {from_column(read_.due_callbacks.integer(2)), read_.due_callbacks.integer(3)},
                     read_.due_callbacks.integer(4)});
    }
  }

  result<timestamp> next_callback(timestamp after) override {
    const use guard(read_.next_callback);
    read_.next_callback.bind(1, to_column(after));
    return read_time(read_.next_callback);
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

  result<std::int64_t> count_ambiguous() override {
    const use guard(read_.count_ambiguous);
    return read_number(read_.count_ambiguous);
  }
  result<std::int64_t> count_overdue(timestamp before) override {
    const use guard(read_.count_overdue);
    read_.count_overdue.bind(1, to_column(before));
    return read_number(read_.count_overdue);
  }
  result<std::int64_t> count_owed() override {
    const use guard(read_.count_owed);
    return read_number(read_.count_owed);
  }

  result<std::vector<std::string>> open_at(const std::string& upstream) override {
    const use guard(read_.open_at);
    read_.open_at.bind(1, upstream);
    return read_texts(read_.open_at);
  }

  result<bool> holds(const std::string& upstream, const std::string& upstream_id, timestamp since) override {
    const std::string oldest = make_task_id(since, {});
    const use guard(read_.holds);
    read_.holds.bind(1, oldest).bind(2, upstream).bind(3, upstream_id);
    return read_.holds.step();
  }

  result<std::optional<inserted>> claimed(std::int64_t owner, const claim& c) override {
    statement& q = c.what == claim::kind::key ? read_.claimed : read_.repeated;
    const use guard(q);
    q.bind(1, owner).bind(2, c.digest).bind(3, to_column(c.since));
    if (c.what == claim::kind::repeat) q.bind(4, std::int64_t{c.repeats});
    auto row = q.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return std::nullopt;
    inserted out;
    const bool same = std::ranges::equal(q.blob(1), c.request);
    out.what = same ? inserted::outcome::repeated : inserted::outcome::other_request;
    out.task_id = q.text(0);
    return out;
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

  result<std::optional<token>> token_by_id(std::int64_t id) override {
    const use guard(read_.token_by_id);
    read_.token_by_id.bind(1, id);
    auto row = read_.token_by_id.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return std::nullopt;
    return read_token(read_.token_by_id);
  }

  void insert(task t, std::optional<claim> c, written<inserted> done) override {
    commits_.push(write_new_task(write_, saved_, std::move(t), c, std::move(done)));
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
  void set_webhook_secret(const std::string& name, secret bytes, written<token> done) override {
    commits_.push(write_webhook_secret(write_, name, std::move(bytes), std::move(done)));
  }
  void rebase(timestamp now, schedule_limits limits, written<std::int64_t> done) override {
    commits_.push(write_rebase(write_, now, limits, std::move(done)));
  }
  void purge_claims(timestamp before, std::int64_t limit, written<std::int64_t> done) override {
    commits_.push(write_claim_purge(write_, before, limit, std::move(done)));
  }
  void purge_tasks(timestamp before, std::int64_t limit, written<std::int64_t> done) override {
    auto gone = [this](const std::vector<std::string>& ids) {
      for (const std::string& id : ids) cache_.erase(id);
      hooks_.purged(ids);
    };
    commits_.push(write_task_purge(write_, std::move(gone), before, limit, std::move(done)));
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
  auto writer = sqlite::db::open(options.path, sqlite::role::writer, options.synchronous);
  if (!writer) return std::unexpected(std::move(writer.error()));
  if (auto done = sqlite::quick_check(*writer); !done) return std::unexpected(std::move(done.error()));
  if (auto done = sqlite::migrate(*writer); !done) return std::unexpected(std::move(done.error()));
  auto reader = sqlite::db::open(options.path, sqlite::role::reader);
  if (!reader) return std::unexpected(std::move(reader.error()));
  return std::make_unique<sqlite::sqlite_store>(std::move(*lock), std::move(*writer), std::move(*reader),
                                                options, std::move(hooks));
}

}  // namespace relay
