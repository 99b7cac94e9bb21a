#include "storage/sqlite/database_file.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>

#include "common/base/fault_point.hpp"
#include "storage/migrations.hpp"
#include "storage/sqlite/db.hpp"

namespace relay::sqlite {
namespace {

// Opening a pipe would wait for a writer.
constexpr int open_flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
constexpr std::size_t user_version_at = 60;  // in the header: the schema
constexpr std::size_t header_size = 100;     // https://www.sqlite.org/fileformat2.html#the_database_header

bool exists(const std::string& path) {
  struct stat s{};
  return ::lstat(path.c_str(), &s) == 0;
}

std::uint32_t number_at(const std::array<unsigned char, header_size>& header, std::size_t at) {
  return static_cast<std::uint32_t>(header[at]) << 24 | static_cast<std::uint32_t>(header[at + 1]) << 16 |
         static_cast<std::uint32_t>(header[at + 2]) << 8 | header[at + 3];
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

bool sync_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = ::fsync(fd) == 0;
  ::close(fd);
  return done;
}

/// What the table `process` says of the file and its log. Each log begins with a transaction that counts it:
/// so the file itself holds the number of this log, or the one before.
struct log_identity {
  std::string database;
  std::int64_t log = 0;
};

// nullopt: the table says nothing (before schema 8), or cannot be read as it stands: a power cut may have
// left half of a page, which only the log makes whole.
std::optional<log_identity> identity_of(sqlite3* d) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(
          d, "SELECT database_id,log_number FROM process WHERE log_check=database_id||' '||log_number", -1,
          &raw, nullptr) != SQLITE_OK)
    return std::nullopt;
  statement s(raw);
  const auto row = s.step();
  if (!row || !*row) return std::nullopt;
  return log_identity{std::string(s.text(0)), s.integer(1)};
}

// The file without its log.
std::optional<log_identity> identity_without_log(const std::string& path) {
  const auto d = db::open(path, role::file_reader);
  return d ? identity_of(d->handle()) : std::nullopt;
}

// The file itself: its log is beside it, not beside a link to it.
std::string followed(const std::string& path) {
  std::error_code ec;
  const auto real = std::filesystem::canonical(path, ec);
  return ec ? path : real.string();
}

// A log keeps what the file does not have yet. Without one, nothing need be made beside the file to read it.
role reader_of(const std::string& path) {
  return exists(path + "-wal") ? role::inspector : role::file_reader;
}

std::unexpected<error> other_programs(const std::string& path, found_as as) {
  return fail(errc::storage_unavailable,
              path + " is a database of another program" +
                  (as == found_as::database ? "; set storage.path to another file" : ""));
}

result<void> check_tables(db& d, const std::string& path, found_as as) {
  auto found = d.try_prepare(
      "SELECT count(*),sum(name IN ('task','token')),(SELECT application_id FROM pragma_application_id) "
      "FROM sqlite_schema WHERE type='table'");
  auto row = found ? found->step() : result<bool>(std::unexpected(found.error()));
  if (!row) {
    row.error().log.text = path + " is damaged" + (as == found_as::database ? ", restore a backup: " : ": ") +
                           row.error().log.text;
    return std::unexpected(std::move(row.error()));
  }
  if (found->integer(0) == 0) {
    return fail(errc::storage_unavailable,
                path + " is an SQLite database without any table; one of luma-relay always has its tables" +
                    (as == found_as::database
                         ? ". Restore a backup in its place, or delete it to begin with an empty one"
                         : ""));
  }
  // Before schema 5 there was no application_id.
  const std::int64_t id = found->integer(2);
  if (id == application_id || (id == 0 && found->integer(1) == 2)) return {};
  return other_programs(path, as);
}

// What the first bytes of the open file say.
result<void> check_header(int fd, const std::string& path, found_as as) {
  const bool is_database = as == found_as::database;
  struct stat s{};
  if (::fstat(fd, &s) != 0 || !S_ISREG(s.st_mode))
    return fail(errc::storage_unavailable,
                path + " is not a file" + (is_database ? "; set storage.path to the name of one" : ""));
  if (s.st_size == 0) {
    std::string what = path + " is empty; a database of luma-relay never is";
    if (is_database) {
      what += ". Restore a backup in its place";
      what += exists(path + "-wal") ? ", and move " + path + "-wal away: it belongs to what was there"
                                    : ", or delete it to begin with an empty one";
    }
    return fail(errc::storage_unavailable, std::move(what));
  }
  std::array<unsigned char, header_size> header{};
  const bool whole = ::pread(fd, header.data(), header.size(), 0) == static_cast<ssize_t>(header.size());
  if (!whole || std::memcmp(header.data(), "SQLite format 3", 16) != 0) {
    return fail(errc::storage_unavailable,
                path + " is not an SQLite database" +
                    (is_database ? "; set storage.path to another file, or restore a backup" : ""));
  }
  const std::uint32_t id = number_at(header, 68);
  if (id != 0 && id != static_cast<std::uint32_t>(application_id)) return other_programs(path, as);
  // With a log the file may be shorter: pages at its end are in the log still.
  struct stat log{};
  const bool has_log = ::stat((path + "-wal").c_str(), &log) == 0 && log.st_size > 0;
  const std::int64_t page = header[16] == 0 && header[17] == 1 ? 65'536 : header[16] * 256 + header[17];
  const std::int64_t pages = number_at(header, 28);
  if (!has_log && number_at(header, 24) == number_at(header, 92) && s.st_size < page * pages) {
    return fail(errc::storage_unavailable, path + " was cut off: it has " + std::to_string(s.st_size) +
                                               " bytes, and its header says " + std::to_string(page * pages) +
                                               (is_database ? ". Restore a backup" : ""));
  }
  // Ours is in WAL mode from the first start on; `luma-relay backup` makes one that is not yet.
  if (has_log && header[18] == 1) {
    return fail(errc::storage_unavailable,
                path + "-wal does not belong to " + path + ", which is a copy: move it away" +
                    (is_database ? ", and " + path + "-shm with it, then start again" : ""));
  }
  return {};
}

}  // namespace

descriptor::~descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

result<database_lock> database_lock::acquire(const std::string& path) {
  const std::string name = path + ".lock";
  database_lock out;
  out.held_ = descriptor(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (out.held_.get() >= 0) {
    out.made_ = name;
  } else if (errno != EEXIST) {
    const std::string why = std::strerror(errno);
    return fail(
        errc::storage_unavailable,
        "nothing can be written in the folder of the database " + path + ": " + why +
            "; the folder must be there, and the user that runs the relay must be able to write in it");
  } else {
    out.held_ = descriptor(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }
  if (out.held_.get() < 0) {
    const std::string why = std::strerror(errno);
    return fail(errc::storage_unavailable, "cannot open the lock file " + name + ": " + why +
                                               "; it must belong to the user that runs the relay");
  }
  if (::flock(out.held_.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(errc::conflict,
                "another luma-relay uses this database (it holds " + name + "); stop it first");
  return out;
}

void database_lock::discard() {
  if (!made_.empty()) ::unlink(made_.c_str());
  made_.clear();
}

// Opens the file for as long as it is in use. A hard link has a lock file of its own, but the same inode.
result<void> database_file::lock_file() {
  file_ = descriptor(::open(path_.c_str(), open_flags));
  if (file_.get() < 0)
    return fail(errc::storage_unavailable, "cannot open the database " + path_ + ": " + std::strerror(errno));
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(errc::conflict, "another luma-relay uses this database under another name than " + path_ +
                                    " (a hard link); stop it first");
  }
  struct stat s{};
  ::fstat(file_.get(), &s);
  opened_ = {s.st_dev, s.st_ino};
  return {};
}

result<database_file> database_file::claim(const std::string& path) {
  std::error_code ec;
  const auto real = std::filesystem::canonical(path, ec);
  database_file out(ec ? path : real.string());
  if (ec && exists(path)) {
    return fail(errc::storage_unavailable,
                path + " cannot be followed (" + ec.message() +
                    "): is it a symbolic link, and its disk is not mounted? Mount it, or "
                    "remove the link");
  }
  auto lock = database_lock::acquire(out.path_);
  if (!lock) return std::unexpected(std::move(lock.error()));
  out.lock_ = std::move(*lock);
  if (auto usable = out.open_file(); !usable) {
    out.discard();
    return std::unexpected(std::move(usable.error()));
  }
  return out;
}

result<void> database_file::open_file() {
  if (!exists(path_)) {
    if (!exists(path_ + "-wal")) return {};
    return fail(errc::storage_unavailable, "there is no database " + path_ + ", but a log " + path_ +
                                               "-wal, which may hold jobs: put the database back to where it "
                                               "was, or restore a backup and move the "
                                               "log away");
  }
  if (auto locked = lock_file(); !locked) return locked;
  return check_header(file_.get(), path_, found_as::database);
}

result<void> database_file::made() {
  return lock_file();
}

result<bool> database_file::check(std::int64_t whole_up_to) const {
  struct stat s{};
  std::array<unsigned char, header_size> header{};
  const bool read = ::fstat(file_.get(), &s) == 0 && ::pread(file_.get(), header.data(), header.size(), 0) ==
                                                         static_cast<ssize_t>(header.size());
  // What is to be migrated is checked first, however large.
  const bool all =
      !read || s.st_size <= whole_up_to ||
      number_at(header, user_version_at) != static_cast<std::uint32_t>(migrations().back().number);
  auto whole = check_database(path_, found_as::database, all ? extent::all : extent::small_tables);
  if (!whole) return std::unexpected(std::move(whole.error()));
  return all;
}

result<void> database_file::in_place() const {
  struct stat s{};
  std::string what;
  if (::stat(path_.c_str(), &s) != 0) {
    what = "the database " + path_ + " is gone, deleted or moved by somebody else";
  } else if (identity{s.st_dev, s.st_ino} != opened_) {
    what = "another file stands in the place of the database " + path_;
  } else if (!exists(path_ +
                     "-wal")) {  // SQLite makes it with the first write, and keeps it while it is open
    what = "the log " + path_ + "-wal is gone, deleted or moved by somebody else";
  } else {
    return {};
  }
  auto out = fail(errc::storage_unavailable,
                  "The relay's database cannot be used now; nothing was recorded. Try again later");
  out.error().log.text = std::move(what);
  return out;
}

result<void> check_database(const std::string& name, found_as as, extent how_much) {
  const std::string path = followed(name);
  // It reads the log too, and never plays it into the file.
  auto d = db::open(path, reader_of(path));
  if (!d) return std::unexpected(std::move(d.error()));
  if (auto ours = check_tables(*d, path, as); !ours) return ours;
  const auto with_log = identity_of(d->handle());
  const auto alone = identity_without_log(path);
  if (with_log && alone &&
      (with_log->database != alone->database || with_log->log < alone->log ||
       with_log->log > alone->log + 1)) {
    return fail(
        errc::storage_unavailable,
        path + "-wal does not belong to " + path +
            ": one of them was put there from another time or place. Put back the file that belongs to the "
            "log; or, to go on with the file as it is, move the log away, and " +
            path + "-shm with it");
  }
  auto whole = how_much == extent::all ? quick_check(*d)
                                       : quick_check(*d, {"sqlite_schema", "process", "account", "token"});
  if (whole) return whole;
  whole.error().log.text = as == found_as::database ? whole.error().log.text + "; restore a backup"
                                                    : path + ": " + whole.error().log.text;
  return whole;
}

result<void> check_is_ours(const std::string& name) {
  const std::string path = followed(name);
  {
    const descriptor file(::open(path.c_str(), open_flags));
    if (file.get() < 0)
      return fail(errc::storage_unavailable, "cannot open " + path + ": " + std::strerror(errno));
    if (auto usable = check_header(file.get(), path, found_as::copy); !usable) return usable;
  }
  auto d = db::open(path, reader_of(path));
  if (!d) return std::unexpected(std::move(d.error()));
  return check_tables(*d, path, found_as::copy);
}

result<void> move_into_place(const std::string& unfinished, const std::string& path) {
  if (!exists(unfinished + "-wal") && sync_file(unfinished) &&
      std::rename(unfinished.c_str(), path.c_str()) == 0 && sync_file(folder_of(path)))
    return {};
  return fail(errc::storage_unavailable,
              "cannot bring the database " + path + " to disk: " + std::strerror(errno));
}

result<void> make_database(const std::string& path) {
  const std::string unfinished = path + ".new";
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) std::remove((unfinished + suffix).c_str());
  {
    auto d = db::open(unfinished, role::writer);
    if (!d) return std::unexpected(std::move(d.error()));
    if (auto done = migrate(*d); !done) return done;
    // Closing makes the last checkpoint and deletes the log.
  }
  fault_point("a new database is not in its place yet");
  return move_into_place(unfinished, path);
}

}  // namespace relay::sqlite
