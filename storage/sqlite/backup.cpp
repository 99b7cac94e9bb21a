#include "storage/sqlite/backup.hpp"

#include <sqlite3.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "storage/sqlite/database_file.hpp"
#include "storage/sqlite/db.hpp"

namespace relay::sqlite {
namespace {

using connection = std::unique_ptr<sqlite3, int (*)(sqlite3*)>;

result<connection> open(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  connection c(raw, &sqlite3_close);
  if (code != SQLITE_OK) return failed("cannot open " + path, raw);
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, 5000);
  // The relay's own writer makes every checkpoint: not even a last one on closing is made here.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  return c;
}

result<void> copy(const std::string& path, const std::string& to) {
  auto source = open(path, SQLITE_OPEN_READWRITE);
  if (!source) return std::unexpected(std::move(source.error()));
  auto target = open(to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  if (!target) return std::unexpected(std::move(target.error()));
  sqlite3_backup* b = sqlite3_backup_init(target->get(), "main", source->get(), "main");
  if (b == nullptr) return failed("cannot begin the backup", target->get());
  // In one step: one read transaction, so the copy is of one moment, and the writer goes on.
  int code = sqlite3_backup_step(b, -1);
  const int finished = sqlite3_backup_finish(b);
  if (code == SQLITE_DONE && finished == SQLITE_OK) {
    // One file, without a log beside it.
    if (sqlite3_exec(target->get(), "PRAGMA journal_mode=DELETE", nullptr, nullptr, nullptr) == SQLITE_OK)
      return {};
    return failed("cannot finish the backup", target->get());
  }
  return failed("the backup stopped", code == SQLITE_DONE ? source->get() : target->get());
}

}  // namespace

result<void> backup(const std::string& path, const std::string& to, replace existing) {
  if (::access(path.c_str(), R_OK) != 0) {
    return fail(errc::storage_unavailable, "there is no database " + path + " that can be read");
  }
  if (existing == replace::no && ::access(to.c_str(), F_OK) == 0) {
    return fail(errc::conflict, to + " exists already; give the name of a new file");
  }
  const std::string unfinished = to + ".unfinished";
  std::remove(unfinished.c_str());
  auto done = copy(path, unfinished);
  if (done) {
    auto copied = db::open(unfinished, role::reader);
    done = copied ? quick_check(*copied) : result<void>(std::unexpected(std::move(copied.error())));
  }
  if (done) done = move_into_place(unfinished, to);
  if (!done) std::remove(unfinished.c_str());
  return done;
}

}  // namespace relay::sqlite
