#include "storage/sqlite/db.hpp"

#include <sqlite3.h>

#include <array>
#include <cstdio>
#include <stdexcept>

#include "common/base/fault_point.hpp"
#include "storage/migrations.hpp"

namespace relay::sqlite {

std::unexpected<error> failed(std::string_view what, sqlite3* db) {
  const int code = db != nullptr ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
  const bool full = (code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE;
  error e;
  e.code = full ? errc::disk_full : errc::storage_unavailable;
  e.retry_after_seconds = 5;
  e.message.text = full ? "The relay's disk is full; nothing was recorded. Try again later"
                        : "The relay's database cannot be used now; nothing was recorded. Try again later";
  e.log.text = std::string(what) + ": " + (db != nullptr ? sqlite3_errmsg(db) : "out of memory") +
               " (SQLite code " + std::to_string(code) + ")";
  return std::unexpected(std::move(e));
}

void statement::finalize::operator()(sqlite3_stmt* s) const {
  sqlite3_finalize(s);
}

statement& statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(stmt_.get(), index, value);
  return *this;
}

statement& statement::bind(int index, std::optional<std::int64_t> value) {
  if (value) return bind(index, *value);
  sqlite3_bind_null(stmt_.get(), index);
  return *this;
}

statement& statement::bind(int index, std::string_view text) {
  // A null pointer would bind SQL NULL.
  sqlite3_bind_text64(stmt_.get(), index, text.data() != nullptr ? text.data() : "", text.size(),
                      SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

statement& statement::bind(int index, std::span<const unsigned char> blob) {
  sqlite3_bind_blob64(stmt_.get(), index, blob.data(), blob.size(), SQLITE_STATIC);
  return *this;
}

result<bool> statement::step() {
  const int code = sqlite3_step(stmt_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  auto refused = failed(sqlite3_sql(stmt_.get()), sqlite3_db_handle(stmt_.get()));
  if ((code & 0xff) == SQLITE_CONSTRAINT) refused.error().code = errc::conflict;
  return refused;
}

void statement::reset() {
  sqlite3_reset(stmt_.get());
  sqlite3_clear_bindings(stmt_.get());
}

std::int64_t statement::integer(int column) const {
  return sqlite3_column_int64(stmt_.get(), column);
}

std::optional<std::int64_t> statement::integer_if_any(int column) const {
  if (sqlite3_column_type(stmt_.get(), column) == SQLITE_NULL) return std::nullopt;
  return integer(column);
}

std::string_view statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(stmt_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(stmt_.get(), column))};
}

std::span<const unsigned char> statement::blob(int column) const {
  const auto* data = static_cast<const unsigned char*>(sqlite3_column_blob(stmt_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(stmt_.get(), column))};
}

void db::close::operator()(sqlite3* d) const {
  sqlite3_close_v2(d);
}

namespace {

// Without counts of its memory SQLite takes no process-wide lock for each allocation.
void configure_once() {
  static const int done = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  (void)done;
}

// https://www.sqlite.org/uri.html
std::string immutable_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      std::array<char, 4> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "%%%02x", static_cast<unsigned>(c));
      uri += escaped.data();
    } else {
      uri += c;
    }
  }
  return uri + "?immutable=1";
}

int open_file(const std::string& path, role r, sqlite3** out) {
  if (r == role::file_reader) {
    return sqlite3_open_v2(immutable_uri(path).c_str(), out,
                           SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, nullptr);
  }
  const int creates = r == role::writer ? SQLITE_OPEN_CREATE : 0;
  return sqlite3_open_v2(path.c_str(), out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | creates, nullptr);
}

}  // namespace

result<db> db::open(const std::string& path, role r, std::string_view synchronous) {
  configure_once();
  db d;
  sqlite3* raw = nullptr;
  const int code = open_file(path, r, &raw);
  d.db_.reset(raw);
  if (code != SQLITE_OK) return failed("cannot open the database " + path, raw);
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, 5000);
  if (r == role::inspector) sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);

  // Each pragma has a reason:
  //   journal_mode=WAL        readers never wait for the writer
  //   synchronous=FULL        a commit survives a power cut; NORMAL kept 0 of 300 acknowledged rows
  //   trusted_schema=OFF      a crafted file cannot run functions through its schema
  //   wal_autocheckpoint=0    no commit pays for a checkpoint; the writer makes them when it is idle
  //   mmap_size=0             an I/O error is an error code, not a signal
  //   cache_size=-16384       16 MiB
  const char* pragmas = r == role::writer
                            ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA trusted_schema=OFF;"
                              "PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0;"
                              "PRAGMA cache_size=-16384; PRAGMA journal_size_limit=67108864;"
                            : "PRAGMA query_only=ON; PRAGMA trusted_schema=OFF; PRAGMA wal_autocheckpoint=0;"
                              "PRAGMA mmap_size=0; PRAGMA cache_size=-16384;";
  if (auto done = d.run(pragmas); !done) return std::unexpected(std::move(done.error()));
  if (r == role::writer && synchronous != "FULL") {
    const std::string weaker = "PRAGMA synchronous=" + std::string(synchronous);
    if (auto done = d.run(weaker.c_str()); !done) return std::unexpected(std::move(done.error()));
  }
  d.wal_pages_ = std::make_unique<int>(0);
  if (r == role::writer) {
    sqlite3_wal_hook(
        raw,
        [](void* pages, sqlite3*, const char*, int count) {
          *static_cast<int*>(pages) = count;
          return SQLITE_OK;
        },
        d.wal_pages_.get());
  }
  return d;
}

result<void> db::run(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failed(sql, db_.get());
  return {};
}

result<statement> db::try_prepare(const char* sql) {
  sqlite3_stmt* s = nullptr;
  if (sqlite3_prepare_v2(db_.get(), sql, -1, &s, nullptr) != SQLITE_OK) return failed(sql, db_.get());
  return statement(s);
}

statement db::prepare(const char* sql) {
  sqlite3_stmt* s = nullptr;
  if (sqlite3_prepare_v3(db_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &s, nullptr) != SQLITE_OK) {
    throw std::logic_error(std::string("cannot prepare ") + sql + ": " + sqlite3_errmsg(db_.get()));
  }
  return s;
}

std::int64_t db::last_row() const {
  return sqlite3_last_insert_rowid(db_.get());
}
int db::changes() const {
  return sqlite3_changes(db_.get());
}
std::string db::message() const {
  return sqlite3_errmsg(db_.get());
}

bool db::in_transaction() const {
  return sqlite3_get_autocommit(db_.get()) == 0;
}

bool db::lost_a_sync() const {
  const int code = sqlite3_extended_errcode(db_.get());
  return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC;
}

result<bool> db::checkpoint() {
  int in_log = 0;
  int moved = 0;
  const int code = sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
  if (code != SQLITE_OK && code != SQLITE_BUSY) return failed("checkpoint", db_.get());
  *wal_pages_ = 0;
  return code == SQLITE_OK && in_log == moved;
}

result<int> schema_version(db& d) {
  statement s = d.prepare("PRAGMA user_version");
  const auto row = s.step();
  if (!row) return std::unexpected(row.error());
  return static_cast<int>(s.integer(0));
}

namespace {

result<void> check_references(db& d) {
  statement s = d.prepare("PRAGMA foreign_key_check");
  const auto row = s.step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return {};
  return fail(errc::storage_unavailable, "a row of the table " + std::string(s.text(0)) +
                                             " refers to one of the table " + std::string(s.text(2)) +
                                             " that is not there");
}

}  // namespace

result<void> migrate(db& d) {
  const auto stored = schema_version(d);
  if (!stored) return std::unexpected(stored.error());
  const int version = *stored;
  const int newest = migrations().back().number;
  if (version > newest) {
    error e;
    e.code = errc::storage_unavailable;
    e.log.text = "the database has schema version " + std::to_string(version) + ", this program knows " +
                 std::to_string(newest) +
                 ": it was written by a newer luma-relay; use that one, or restore a backup";
    e.message.text = "The relay's database cannot be used";
    return std::unexpected(std::move(e));
  }
  if (version == newest) return {};
  // A table that others refer to cannot be made anew otherwise (https://www.sqlite.org/lang_altertable.html).
  if (auto off = d.run("PRAGMA foreign_keys=OFF"); !off) return off;
  for (const migration& m : migrations()) {
    if (m.number <= version) continue;
    fault_point("before a migration");
    const std::string sql =
        std::string("BEGIN IMMEDIATE;") + m.sql + "PRAGMA user_version=" + std::to_string(m.number);
    auto done = d.run(sql.c_str());
    fault_point("in a migration");
    std::string why;
    if (done && m.checks_references) {
      done = check_references(d);
      if (!done) why = done.error().log.text;
    }
    if (done) done = d.run("COMMIT");
    if (!done) {
      if (why.empty()) why = d.message();  // before the rollback, which has words of its own
      auto rolled_back = d.run("ROLLBACK");
      done.error().log.text =
          "migration " + std::to_string(m.number) + " failed, the database is as it was before it: " + why;
      if (!rolled_back) done.error().log.text += "; it could not be rolled back: " + d.message();
      return done;
    }
  }
  return d.run("PRAGMA foreign_keys=ON");
}

namespace {

result<void> run_check(db& d, const std::string& pragma) {
  std::string damage;
  auto s = d.try_prepare(pragma.c_str());
  if (!s) damage = s.error().log.text;
  while (s) {
    const auto row = s->step();
    // What it has found stands, whatever ended it.
    if (!row && damage.empty()) return std::unexpected(row.error());
    if (!row || !*row) break;
    if (s->text(0) != "ok") damage += (damage.empty() ? "" : "; ") + std::string(s->text(0));
  }
  if (damage.empty()) return {};
  error e;
  e.code = errc::storage_unavailable;
  e.message.text = "The relay's database is damaged; nothing was recorded";
  e.log.text = "the database is damaged: " + damage;
  return std::unexpected(std::move(e));
}

}  // namespace

result<void> quick_check(db& d, int most_found) {
  return run_check(d, "PRAGMA quick_check(" + std::to_string(most_found) + ")");
}

result<void> quick_check(db& d, std::initializer_list<const char*> tables) {
  for (const char* name : tables) {
    if (auto whole = run_check(d, std::string("PRAGMA quick_check(") + name + ")"); !whole) return whole;
  }
  return {};
}

}  // namespace relay::sqlite
