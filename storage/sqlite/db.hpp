#pragma once

// SQLite's C API behind two owning handles. A connection and its statements belong to one thread at a time.

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace relay::sqlite {

/// `what` failed with SQLite's own code and words. A full disk is disk_full, all else
/// storage_unavailable.
std::unexpected<error> failed(std::string_view what, sqlite3* db);

/// A prepared statement; reused: bind, step, reset.
class statement {
 public:
  statement() = default;
  statement(sqlite3_stmt* s) : stmt_(s) {}

  statement& bind(int index, std::int64_t value);
  statement& bind(int index, std::optional<std::int64_t> value);  // nullopt: NULL
  statement& bind(int index, std::string_view text);              // must outlive the step
  statement& bind(int index, std::span<const unsigned char> blob);

  /// True: a row is there. False: done. Errors: storage_unavailable, conflict (a constraint).
  result<bool> step();
  void reset();

  std::int64_t integer(int column) const;
  std::optional<std::int64_t> integer_if_any(int column) const;  // nullopt: NULL
  std::string_view text(int column) const;                       // valid until the next step or reset
  std::span<const unsigned char> blob(int column) const;

 private:
  struct finalize {
    void operator()(sqlite3_stmt* s) const;
  };
  std::unique_ptr<sqlite3_stmt, finalize> stmt_;
};

/// Resets a statement at the end of its use, so that it holds no read transaction open.
class use {
 public:
  explicit use(statement& s) : s_(s) {}
  ~use() { s_.reset(); }
  use(const use&) = delete;
  use& operator=(const use&) = delete;
  statement* operator->() { return &s_; }

 private:
  statement& s_;
};

/// An inspector leaves the file and its log as they are, even when it is the last one to close them. A file
/// reader reads the file without its log, makes nothing beside it, and needs that nobody writes meanwhile.
enum class role : std::uint8_t { writer, reader, inspector, file_reader };

class db {
 public:
  /// Opens (the writer creates), sets the pragmas. Errors: storage_unavailable.
  static result<db> open(const std::string& path, role r, std::string_view synchronous = "FULL");

  result<void> run(const char* sql);
  /// Throws std::logic_error if the SQL is wrong: it is a literal of ours.
  statement prepare(const char* sql);
  /// For a file that may not be a database of ours. Errors: storage_unavailable.
  result<statement> try_prepare(const char* sql);

  std::int64_t last_row() const;
  int changes() const;
  std::string message() const;
  bool in_transaction() const;
  /// True when the last error was a failed fsync.
  bool lost_a_sync() const;
  /// Pages in the write-ahead log after the last commit.
  int wal_pages() const { return *wal_pages_; }
  /// Moves what it can from the log into the database without waiting for anybody. True: all of it, so that
  /// the next write begins a new log.
  result<bool> checkpoint();
  sqlite3* handle() const { return db_.get(); }

 private:
  struct close {
    void operator()(sqlite3* d) const;
  };
  std::unique_ptr<int> wal_pages_;  // outlives the connection, whose hook writes it
  std::unique_ptr<sqlite3, close> db_;
};

/// Number of the last migration that was run; 0 for a new database. Errors: storage_unavailable.
result<int> schema_version(db& d);

/// Brings the schema up to date, one transaction a step; refuses a database of a newer version.
/// Errors: storage_unavailable.
result<void> migrate(db& d);

/// PRAGMA quick_check, of everything or of some tables. Errors: storage_unavailable, with what is damaged.
result<void> quick_check(db& d, int most_found = 5);
result<void> quick_check(db& d, std::initializer_list<const char*> tables);

}  // namespace relay::sqlite
