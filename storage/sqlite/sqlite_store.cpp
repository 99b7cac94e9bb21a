#include "storage/sqlite/sqlite_store.hpp"

#include <unistd.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "common/base/asked_again.hpp"
#include "common/base/lru.hpp"
#include "storage/migrations.hpp"
#include "storage/sqlite/backup.hpp"
#include "storage/sqlite/database_file.hpp"
#include "storage/sqlite/db.hpp"
#include "storage/sqlite/group_commit.hpp"
#include "storage/sqlite/later_check.hpp"
#include "storage/sqlite/newest_ids.hpp"
#include "storage/sqlite/reader.hpp"
#include "storage/sqlite/reads.hpp"
#include "storage/sqlite/writes.hpp"

namespace relay {
namespace sqlite {
namespace {

constexpr std::size_t page_bytes = 4'096;
constexpr std::size_t max_changed = 1'000;  // ids remembered while a batch is read
constexpr std::size_t least_for_newest = 64 * 1024;
constexpr std::int64_t near_offset = 1'000;  // tasks that a list may skip without delaying others

/// The read-only connections.
struct readers {
  reads on_loop, for_lists, for_operator;
};

class sqlite_store final : public store {
 public:
  sqlite_store(database_file file, db writer, readers r, task_counts counts, const sqlite_options& options,
               store_hooks hooks)
      : file_(std::move(file)),
        most_log_pages_(static_cast<int>(options.log_bytes / page_bytes)),
        hooks_(std::move(hooks)),
        writer_(std::move(writer)),
        write_(writer_),
        counts_(counts),
        cache_(options.cache_bytes),
        newest_(options.cache_bytes == 0 ? 0 : std::max(options.cache_bytes / 16, least_for_newest)),
        listener_{[this](const task_ptr& before, const task_ptr& after) { on_saved(before, after); },
                  [this](const task& stale) { on_conflict(stale); }},
        purged_([this](const auto& tasks) { on_purged(tasks); }),
        deadlines_moved_([this] { on_deadlines_moved(); }),
        point_(std::move(r.on_loop)),
        lists_(std::move(r.for_lists), hooks_),
        searches_(std::move(r.for_operator), hooks_),
        commits_(writer_, hooks_,
                 {[this] { return begin_log(write_); }, [this] { return may_write(); },
                  [this] { return file_.in_place(); }},
                 options.queue_bytes, options.log_bytes) {}
  ~sqlite_store() override { close(); }

  task_ptr in_memory(const std::string& id) override {
    const task_ptr* kept = cache_.find(id);
    return kept != nullptr ? *kept : nullptr;
  }
  const task_counts& counts() const override { return counts_; }
  std::size_t queued() const override { return commits_.queued(); }

  // A single task: the page cache delivers in tens of microseconds, less than a thread takes to wake.

  void find(std::int64_t owner, const std::string& id, completion<task_ptr> done) override {
    result<task_ptr> found = in_memory(id);
    if (*found != nullptr) {
      if (!is_shown_to(**found, owner)) found = nullptr;
    } else {
      found = in_this_turn([&] { return point_.find(owner, id); });
      if (found && *found && asked_again_(id)) found = keep(std::move(*found));
    }
    complete(std::move(done), std::move(found));
  }
  void load(const std::string& id, completion<task_ptr> done) override {
    result<task_ptr> found = in_memory(id);
    if (*found == nullptr) found = in_this_turn([&] { return point_.load(id); });
    if (found) found = keep(std::move(*found));
    complete(std::move(done), std::move(found));
  }

  // Ids that memory knows are not read; the rest is, on another thread.
  void find_many(std::int64_t owner, std::vector<std::string> ids, std::size_t room,
                 completion<some_tasks> done) override {
    // Memory first; the holes keep their places.
    std::vector<task_ptr> found(ids.size());
    std::vector<std::string> missing;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      found[i] = in_memory(ids[i]);
      if (!found[i]) missing.push_back(std::move(ids[i]));
    }
    auto finish = [this, owner, since = changes_, found = std::move(found),
                   done = std::move(done)](result<some_tasks> read) mutable {
      if (read) {
        // Up to the first that was not read any more.
        some_tasks out;
        for (std::size_t next = 0; out.looked_up < found.size(); ++out.looked_up) {
          task_ptr& t = found[out.looked_up];
          if (!t && next == read->looked_up) break;
          if (!t) t = newest_of(std::move(read->tasks[next++]), since);
          if (t && is_shown_to(*t, owner)) out.tasks.push_back(std::move(t));
        }
        *read = std::move(out);
      }
      if (--reading_many_ == 0) changed_.clear();
      done(std::move(read));
    };
    ++reading_many_;
    // On the reader's thread: a batch may touch a hundred cold pages.
    if (missing.empty()) return complete<some_tasks>(std::move(finish), {});
    const std::size_t payload = ids.size() * (sizeof(std::string) + sizeof(task_ptr)) + missing.size() * 64;
    auto read = [missing = std::move(missing), owner, room](reads& r) {
      return r.find_many(owner, missing, room);
    };
    lists_.run<some_tasks>(std::move(read), std::move(finish), payload);
  }

  // The ids first: most of the tasks of a first page are in memory.
  void list(std::int64_t owner, page_request page, std::size_t room, completion<task_page> done) override {
    if (auto known = newest_.page(owner, page); known && add_from_memory(*known, owner, room))
      return complete<task_page>(std::move(done), std::move(*known));
    auto with_tasks = [this, owner, page, room, inserts = newest_.inserts(),
                       done = std::move(done)](result<task_page> r) mutable {
      if (r && newest_ids::to_read(page).offset == 0) newest_.learn(owner, *r, inserts);
      if (r) r = newest_ids::cut(std::move(*r), page);
      if (!r || r->ids.empty()) return done(std::move(r));
      if (add_from_memory(*r, owner, room)) return done(std::move(r));
      auto wanted = r->ids;
      auto add = [page = std::move(*r), room, done = std::move(done)](result<some_tasks> read) mutable {
        if (!read) return done(std::unexpected(std::move(read.error())));
        page.tasks = std::move(read->tasks);
        keep_first(page, room);
        done(std::move(page));
      };
      find_many(owner, std::move(wanted), room, std::move(add));
    };
    // SQLite walks over what a page skips: a page far down must not delay the background loops.
    reader& by = page.offset <= near_offset ? lists_ : searches_;
    const page_request wanted = newest_ids::to_read(page);
    by.run<task_page>([=](reads& r) { return r.list(owner, wanted); }, std::move(with_tasks));
  }
  void find_repeated(std::int64_t owner, const idempotency_record& record,
                     completion<std::optional<written_change>> done) override {
    point_.end_moment();
    complete(std::move(done), point_.find_repeated(owner, record));
  }

  void browse(const task_filter& filter, completion<found_tasks> done) override {
    auto newest = [this, done = std::move(done)](result<found_tasks> r) mutable {
      if (r) bring_up_to_date(r->tasks);
      done(std::move(r));
    };
    searches_.run<found_tasks>([=](reads& r) { return r.browse(filter); }, std::move(newest));
  }
  void search(const std::string& text, std::int64_t limit, completion<std::vector<task_ptr>> done) override {
    searches_.run<std::vector<task_ptr>>([=](reads& r) { return r.search(text, limit); },
                                         newest(std::move(done)));
  }
  void due(schedule s, timestamp now, const schedule_cursor& after, std::int64_t limit,
           completion<due_page> done) override {
    auto newest = [this, done = std::move(done)](result<due_page> r) mutable {
      if (r) bring_up_to_date(r->tasks);
      done(std::move(r));
    };
    lists_.run<due_page>([=](reads& r) { return r.due(s, now, after, limit); }, std::move(newest));
  }
  void submit_queues(completion<std::vector<submit_queue>> done) override {
    lists_.run<std::vector<submit_queue>>([](reads& r) { return r.submit_queues(); }, std::move(done));
  }
  void pending(const submit_queue& q, const schedule_cursor& after, std::int64_t limit,
               completion<due_page> done) override {
    auto newest = [this, done = std::move(done)](result<due_page> r) mutable {
      if (r) bring_up_to_date(r->tasks);
      done(std::move(r));
    };
    lists_.run<due_page>([=](reads& r) { return r.pending(q, after, limit); }, std::move(newest));
  }
  void next_due(schedule s, completion<timestamp> done) override {
    lists_.run<timestamp>([=](reads& r) { return r.next_due(s); }, std::move(done));
  }
  void polled(completion<std::vector<polled_task>> done) override {
    searches_.run<std::vector<polled_task>>([](reads& r) { return r.polled(); }, std::move(done));
  }
  void pending_callbacks(completion<std::vector<pending_callback>> done) override {
    searches_.run<std::vector<pending_callback>>([](reads& r) { return r.pending_callbacks(); },
                                                 std::move(done));
  }
  void submitting_to(const std::string& upstream, std::int64_t limit,
                     completion<std::vector<task_ptr>> done) override {
    searches_.run<std::vector<task_ptr>>([=](reads& r) { return r.submitting_to(upstream, limit); },
                                         newest(std::move(done)));
  }
  // The lock file says that no other process lives.
  void interrupted(const std::string& self, std::int64_t limit,
                   completion<std::vector<task_ptr>> done) override {
    lists_.run<std::vector<task_ptr>>([=](reads& r) { return r.interrupted(self, limit); },
                                      newest(std::move(done)));
  }
  void open_at(const std::string& upstream, completion<std::vector<std::string>> done) override {
    lists_.run<std::vector<std::string>>([=](reads& r) { return r.open_at(upstream); }, std::move(done));
  }
  void known_jobs(const std::string& upstream, std::vector<std::string> upstream_ids, timestamp since,
                  completion<std::vector<std::string>> done) override {
    const std::size_t payload = upstream_ids.size() * 64;
    auto read = [upstream, ids = std::move(upstream_ids), since](reads& r) {
      return r.known_jobs(upstream, ids, since);
    };
    searches_.run<std::vector<std::string>>(std::move(read), std::move(done), payload);
  }
  void restored_from(completion<timestamp> done) override {
    lists_.run<timestamp>([](reads& r) { return r.restored_from(); }, std::move(done));
  }
  void lane_memories(completion<std::vector<lane_memory>> done) override {
    lists_.run<std::vector<lane_memory>>([](reads& r) { return r.lane_memories(); }, std::move(done));
  }
  void tokens(completion<std::vector<token>> done) override {
    lists_.run<std::vector<token>>([](reads& r) { return r.tokens(); }, std::move(done));
  }
  void accounts(completion<std::vector<account>> done) override {
    lists_.run<std::vector<account>>([](reads& r) { return r.accounts(); }, std::move(done));
  }
  void admin_tokens(completion<std::vector<admin_token>> done) override {
    lists_.run<std::vector<admin_token>>([](reads& r) { return r.admin_tokens(); }, std::move(done));
  }
  void audit(std::int64_t before, std::int64_t limit, completion<std::vector<audit_row>> done) override {
    searches_.run<std::vector<audit_row>>([=](reads& r) { return r.audit(before, limit); }, std::move(done));
  }
  void find_carried_out(const std::string& made_by, const std::string& key,
                        completion<std::optional<carried_out>> done) override {
    point_.end_moment();
    complete(std::move(done), point_.find_carried_out(made_by, key));
  }
  void account_by_id(std::int64_t id, completion<std::optional<account>> done) override {
    point_.end_moment();
    complete(std::move(done), point_.account_by_id(id));
  }

  void balance(std::int64_t account, completion<account_balance> done) override {
    point_.end_moment();
    complete(std::move(done), point_.balance(account));
  }
  void ledger(ledger_filter f, completion<std::vector<ledger_row>> done) override {
    searches_.run<std::vector<ledger_row>>([f = std::move(f)](reads& r) { return r.ledger(f); },
                                           std::move(done));
  }
  void usage(usage_query q, completion<std::vector<usage_entry>> done) override {
    searches_.run<std::vector<usage_entry>>([q = std::move(q)](reads& r) { return r.usage(q); },
                                            std::move(done));
  }

  void write(change c, completion<written_change> done) override {
    audit_ptr why = std::move(c.why);
    push_audited(std::move(why), write_task(write_, listener_, std::move(c), std::move(done)));
  }
  void book(ledger_entry e, audit_ptr why, completion<ledger_row> done) override {
    push_audited(std::move(why), write_ledger_row(write_, std::move(e), std::move(done)));
  }
  void write_account(account a, audit_ptr why, completion<account> done) override {
    push_audited(std::move(why), sqlite::write_account(write_, std::move(a), std::move(done)));
  }
  void insert_token(token t, audit_ptr why, completion<token> done) override {
    push_audited(std::move(why), write_new_token(write_, std::move(t), std::move(done)));
  }
  void change_token(token t, audit_ptr why, completion<token> done) override {
    push_audited(std::move(why), write_token(write_, std::move(t), std::move(done)));
  }
  void note_use(std::vector<std::int64_t> tokens, std::int32_t day, completion<std::int64_t> done) override {
    commits_.push(write_use(write_, std::move(tokens), day, std::move(done)));
  }
  void revoke_token(std::int64_t id, timestamp now, audit_ptr why, completion<token> done) override {
    push_audited(std::move(why), write_revocation(write_, id, now, std::move(done)));
  }
  void rotate_token(std::int64_t id, new_secret with, audit_ptr why, completion<token> done) override {
    push_audited(std::move(why), write_rotation(write_, id, std::move(with), std::move(done)));
  }
  void insert_admin_token(admin_token t, audit_ptr why, completion<admin_token> done) override {
    push_audited(std::move(why), write_new_admin_token(write_, std::move(t), std::move(done)));
  }
  void revoke_admin_token(std::int64_t id, timestamp now, audit_ptr why,
                          completion<admin_token> done) override {
    push_audited(std::move(why), write_admin_revocation(write_, id, now, std::move(done)));
  }
  void note_change(audit_ptr why, completion<std::int64_t> done) override {
    commits_.push(write_audit(write_, std::move(why), std::move(done)));
  }
  void keep_response(const std::string& made_by, const std::string& key, kept_response what,
                     completion<std::int64_t> done) override {
    commits_.push(write_response(write_, made_by, key, std::move(what), std::move(done)));
  }
  void rebase(timestamp now, schedule_limits limits, completion<std::int64_t> done) override {
    commits_.push(write_rebase(write_, now, limits, std::move(done)));
  }
  void mark_alive(timestamp now, completion<std::int64_t> done) override {
    commits_.push(write_alive(write_, now, std::move(done)));
  }
  void resume(timestamp now, completion<milliseconds> done) override {
    commits_.push(write_resume(write_, now, std::move(done)));
  }
  void extend_deadlines(milliseconds by, completion<std::int64_t> done) override {
    commits_.push(write_extension(write_, deadlines_moved_, by, std::move(done)));
  }
  void keep_lane(lane_memory m, completion<std::int64_t> done) override {
    commits_.push(write_lane(write_, std::move(m), std::move(done)));
  }
  void end_restore(completion<std::int64_t> done) override {
    commits_.push(write_end_of_restore(write_, std::move(done)));
  }
  void purge_idempotency(timestamp before, std::int64_t limit, completion<std::int64_t> done) override {
    commits_.push(write_idempotency_purge(write_, before, limit, std::move(done)));
  }
  void purge_tasks(timestamp before, std::int64_t limit, completion<std::int64_t> done) override {
    commits_.push(write_task_purge(write_, purged_, before, limit, std::move(done)));
  }

  /// Before it is used.
  void check_later() { check_.emplace(file_, hooks_); }

  void close() override {
    if (check_) check_->stop();
    commits_.stop();
    lists_.stop();
    searches_.stop();
  }

 private:
  void push_audited(audit_ptr why, std::unique_ptr<sqlite::write> change) {
    commits_.push(with_audit(write_, std::move(why), std::move(change)));
  }

  template <class T>
  void complete(completion<T> done, result<T> r) {
    hooks_.post([done = std::move(done), r = std::move(r)]() mutable { done(std::move(r)); });
  }

  // False: not all that there is room for are in memory.
  bool add_from_memory(task_page& page, std::int64_t owner, std::size_t room) {
    std::size_t bytes = 0;
    for (const std::string& id : page.ids) {
      if (bytes > room) break;
      task_ptr t = in_memory(id);
      if (!t || !is_shown_to(*t, owner)) {
        page.tasks.clear();
        return false;
      }
      bytes += memory_of(*t);
      page.tasks.push_back(std::move(t));
    }
    return true;
  }
  // As many as there is room for, and none behind one that was deleted meanwhile.
  static void keep_first(task_page& page, std::size_t room) {
    std::size_t kept = 0;
    for (std::size_t bytes = 0; kept < page.tasks.size() && bytes <= room; ++kept) {
      if (page.tasks[kept]->id != page.ids[kept]) break;
      bytes += memory_of(*page.tasks[kept]);
    }
    page.tasks.resize(kept);
  }

  // A read of one task: those of one turn of the loop are one read transaction. Until the next change, so
  // that what is on disk by then is seen.
  result<task_ptr> in_this_turn(auto read) {
    if (auto begun = point_.begin_moment(); !begun) return std::unexpected(std::move(begun.error()));
    if (!std::exchange(end_is_posted_, true)) {
      hooks_.post([this] {
        end_is_posted_ = false;
        point_.end_moment();
      });
    }
    return read();
  }

  // What was read on another thread: what is in memory may be newer, and what was changed or deleted
  // meanwhile must not come back into it as it was.
  task_ptr newest_of(task_ptr t, std::uint64_t since) {
    if (!t) return t;
    if (const task_ptr* kept = cache_.find(t->id); kept != nullptr && (*kept)->revision > t->revision)
      return *kept;
    return asked_again_(t->id) && !changed_since(t->id, since) ? keep(std::move(t)) : t;
  }
  void note_change(const std::string& id) {
    point_.end_moment();
    ++changes_;
    if (reading_many_ == 0) return;
    changed_.push_back(id);
    if (changed_.size() > max_changed) changed_.pop_front();
  }
  // When more has changed than is remembered, it may be any of them.
  bool changed_since(const std::string& id, std::uint64_t since) const {
    const std::uint64_t later = changes_ - since;
    if (later > changed_.size()) return true;
    return std::find(changed_.end() - static_cast<std::ptrdiff_t>(later), changed_.end(), id) !=
           changed_.end();
  }

  // What was read on another thread may be older by now than what is in memory.
  completion<std::vector<task_ptr>> newest(completion<std::vector<task_ptr>> done) {
    return [this, done = std::move(done)](result<std::vector<task_ptr>> r) mutable {
      if (r) bring_up_to_date(*r);
      done(std::move(r));
    };
  }
  void bring_up_to_date(std::vector<task_ptr>& tasks) {
    for (task_ptr& t : tasks) {
      const task_ptr* kept = cache_.find(t->id);
      if (kept != nullptr && (*kept)->revision > t->revision) t = *kept;
    }
  }

  // Into memory, unless a newer revision is there. Null stays null.
  task_ptr keep(task_ptr t) {
    if (!t) return t;
    if (const task_ptr* kept = cache_.find(t->id); kept != nullptr && (*kept)->revision > t->revision)
      return *kept;
    cache_.put(t->id, t, memory_of(*t));
    return t;
  }
  // Into memory before the hook, so that what it wakes reads the new revision.
  void on_saved(const task_ptr& before, const task_ptr& after) {
    note_change(after->id);
    if (before)
      counts_.remove(*before);
    else
      newest_.inserted(after->owner, after->id);
    if (before && before->deleted_at != after->deleted_at) newest_.clear();
    counts_.add(*after);
    hooks_.saved(keep(after));
  }
  // The next load is to find what is on disk.
  void on_conflict(const task& stale) {
    const task_ptr* kept = cache_.find(stale.id);
    if (kept != nullptr && (*kept)->revision <= stale.revision) cache_.erase(stale.id);
  }
  void on_purged(const std::vector<std::pair<std::string, task_state>>& tasks) {
    if (!tasks.empty()) newest_.clear();
    for (const auto& [id, state] : tasks) {
      note_change(id);
      cache_.erase(id);
      --counts_[state];
    }
  }

  // Any task may be another one on disk now, also one that is being read.
  void on_deadlines_moved() {
    point_.end_moment();
    cache_.clear();
    changes_ += max_changed + 1;
  }

  // The store thread, before each commit.
  result<void> may_write() {
    if (check_) {
      if (writer_.wal_pages() > most_log_pages_) check_->give_way();
      if (auto whole = check_->so_far(); !whole) return whole;
    }
    return file_.in_place();
  }

  const database_file file_;
  const int most_log_pages_;  // beyond this the log should begin anew
  store_hooks hooks_;
  std::optional<later_check> check_;
  db writer_;                        // store thread, once commits_ runs
  write_statements write_;           // store thread
  task_counts counts_;               // loop thread
  lru<task_ptr> cache_;              // loop thread; never older than what a client was sent
  asked_again asked_again_{8'192};   // loop thread: tasks that were read from the file lately
  newest_ids newest_;                // loop thread
  int reading_many_ = 0;             // loop thread: reads by many() that have not ended
  std::uint64_t changes_ = 0;        // loop thread: tasks changed or deleted so far
  std::deque<std::string> changed_;  // loop thread: the last of them, since the oldest of those reads began
  const task_listener listener_;
  const purged_function purged_;
  const std::function<void()> deadlines_moved_;
  reads point_;  // loop thread
  bool end_is_posted_ = false;
  reader lists_;          // what clients and the background loops read
  reader searches_;       // what may take long
  group_commit commits_;  // last: its thread uses the above
};

// An older schema is kept as it was, in a file of its own, before it is changed.
result<void> keep_copy(db& d, const std::string& path) {
  const auto version = schema_version(d);
  if (!version) return std::unexpected(version.error());
  if (*version == 0 || *version >= migrations().back().number) return {};
  const std::string copy = path + ".schema-" + std::to_string(*version);
  // One of an earlier start, which was cut off, or of an earlier upgrade: the newest is kept.
  auto done = backup(path, copy, replace::yes);
  if (!done) {
    done.error().log.text =
        "the database must be brought to a newer schema, and no copy of it could be kept as " + copy +
        " first; nothing was changed: " + done.error().log.text;
  }
  return done;
}

// False: the rest of it is to be checked later.
result<bool> check_or_make(database_file& file, std::int64_t whole_up_to, const store_hooks& hooks) {
  if (!file.is_new()) return file.check(whole_up_to);
  if (auto done = make_database(file.path()); !done) return std::unexpected(std::move(done.error()));
  hooks.notice(
      {"there was no database " + file.path() +
       ": an empty one was made. If there should be jobs in it, stop the relay and look at storage.path"});
  if (auto done = file.made(); !done) return std::unexpected(std::move(done.error()));
  return true;
}

result<readers> open_readers(const std::string& path, const catalogue& names, const store_hooks& hooks) {
  std::vector<db> connections;
  for (int i = 0; i < 3; ++i) {
    auto d = db::open(path, role::reader);
    if (!d) return std::unexpected(std::move(d.error()));
    connections.push_back(std::move(*d));
  }
  return readers{{std::move(connections[0]), names, hooks.warn},
                 {std::move(connections[1]), names, hooks.warn},
                 {std::move(connections[2]), names, hooks.warn}};
}

}  // namespace
}  // namespace sqlite

result<std::unique_ptr<store>> open_sqlite_store(const sqlite_options& options, const catalogue& names,
                                                 store_hooks hooks) {
  // 1. The file: nobody else has it, it is ours and whole; or there is none, and an empty one is made.
  auto file = sqlite::database_file::claim(options.path);
  if (!file) return std::unexpected(std::move(file.error()));
  const std::string path = file->path();
  const auto checked = sqlite::check_or_make(*file, options.whole_check_bytes, hooks);
  if (!checked) {
    file->discard();
    return std::unexpected(checked.error());
  }
  auto writer = sqlite::db::open(path, sqlite::role::writer, options.synchronous);
  if (!writer) return std::unexpected(std::move(writer.error()));
  // 2. The schema of this program; the older one is kept as a copy.
  if (auto done = sqlite::keep_copy(*writer, path); !done) return std::unexpected(std::move(done.error()));
  if (auto done = sqlite::migrate(*writer); !done) return std::unexpected(std::move(done.error()));
  // 3. Connections for reads, and the counts that are kept from here on.
  auto readers = sqlite::open_readers(path, names, hooks);
  if (!readers) return std::unexpected(std::move(readers.error()));
  auto counts = readers->on_loop.count_all();
  if (!counts) return std::unexpected(std::move(counts.error()));
  auto out = std::make_unique<sqlite::sqlite_store>(std::move(*file), std::move(*writer), std::move(*readers),
                                                    *counts, options, std::move(hooks));
  // 4. The rest of a large file, while it is served.
  if (!*checked) out->check_later();
  return out;
}

}  // namespace relay
