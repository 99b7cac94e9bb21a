#include "storage/sqlite/restore.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "storage/sqlite/backup.hpp"
#include "storage/sqlite/database_file.hpp"
#include "storage/sqlite/db.hpp"

namespace relay::sqlite {
namespace {

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

// The copy as the database that it becomes: another one than the one it was made of, with its jobs held.
result<std::int64_t> hold_jobs(const std::string& path, std::int64_t now) {
  auto d = db::open(path, role::writer);
  if (!d) return std::unexpected(std::move(d.error()));
  if (auto done = migrate(*d); !done) return std::unexpected(std::move(done.error()));
  if (auto done = d->run("BEGIN IMMEDIATE"); !done) return std::unexpected(std::move(done.error()));
  {
    statement hold = d->prepare(
        "UPDATE task SET "
        "status='pending',held_at=?1,next_submit_at=0,next_reconcile_at=0,ambiguous_at=0,absent_at=0,"
        "revision=revision+1 WHERE status IN ('pending','submitting')");
    hold.bind(1, now);
    if (auto done = hold.step(); !done) return std::unexpected(std::move(done.error()));
  }
  const std::int64_t held = d->changes();
  auto done = d->run(
      "UPDATE process SET "
      "database_id=lower(hex(randomblob(16))),log_number=0,log_check='',restored_from="
      "max(1,min(alive_at,coalesce((SELECT min(attempted_at) FROM task WHERE held_at>0 AND "
      "attempted_at>0),alive_at))); "
      "COMMIT");
  if (!done) return std::unexpected(std::move(done.error()));
  return held;
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat one{};
  struct stat other{};
  return ::stat(a.c_str(), &one) == 0 && ::stat(b.c_str(), &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

std::string put_aside_name(const std::string& path) {
  for (int n = 1;; ++n) {
    std::string name = path + ".before-restore-" + std::to_string(n);
    if (!exists(name)) return name;
  }
}

result<void> rename_file(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return {};
  return fail(errc::storage_unavailable, "cannot rename " + from + " to " + to + ": " + std::strerror(errno));
}

}  // namespace

result<restored> restore(const std::string& from, const std::string& path, std::int64_t now) {
  // 1. No relay has the database; what is there need not be whole.
  auto lock = database_lock::acquire(path);
  if (!lock) return std::unexpected(std::move(lock.error()));
  // 2. A whole copy, of this schema.
  if (same_file(from, path))
    return fail(errc::invalid_request, from + " is the database itself; name a backup of it");
  if (auto ours = check_is_ours(from); !ours) return std::unexpected(std::move(ours.error()));
  if (auto whole = check_database(from, found_as::copy); !whole)
    return std::unexpected(std::move(whole.error()));
  const std::string unfinished = path + ".restoring";
  for (const char* suffix : {"-wal", "-shm", "-journal"}) std::remove((unfinished + suffix).c_str());
  if (auto copied = backup(from, unfinished, replace::yes); !copied)
    return std::unexpected(std::move(copied.error()));
  const auto held = hold_jobs(unfinished, now);
  if (!held) return std::unexpected(held.error());
  // 3. In the place of what was there, which is kept.
  restored out{{}, *held};
  if (exists(path) || exists(path + "-wal")) {
    out.put_aside = put_aside_name(path);
    for (const char* suffix : {"-wal", ""}) {
      if (!exists(path + suffix)) continue;
      if (auto done = rename_file(path + suffix, out.put_aside + suffix); !done)
        return std::unexpected(std::move(done.error()));
    }
  }
  std::remove((path + "-shm").c_str());
  if (auto done = move_into_place(unfinished, path); !done) return std::unexpected(std::move(done.error()));
  return out;
}

}  // namespace relay::sqlite
