#pragma once

// The database as a file: who may have it, whether what is there is a database of ours, and whether it is
// still there. SQLite itself opens whatever it finds: an empty file is an empty database to it, and a log
// that lies beside another database is played into it.

#include <sys/types.h>

#include <string>
#include <utility>

#include "common/base/error.hpp"

namespace relay::sqlite {

/// "Luma" in ASCII: `application_id` in the header of our databases. Those of before schema 5 have 0.
inline constexpr std::int32_t application_id = 0x4c756d61;

/// A file descriptor that is closed with the object.
class descriptor {
 public:
  explicit descriptor(int fd = -1) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor();
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Keeps other processes away from the database at a path: flock on `<path>.lock`, freed by the kernel when
/// the process dies, however it dies.
class database_lock {
 public:
  database_lock() = default;
  /// Errors: conflict, storage_unavailable.
  static result<database_lock> acquire(const std::string& path);
  /// What it guards is not used: the file goes, if it was made for this.
  void discard();

 private:
  descriptor held_;
  std::string made_;  // its name, if it was not there
};

class database_file {
 public:
  /// Locks the database at `path` against other processes (also by the file itself, so that the lock holds by
  /// whichever name the file is opened), and reads its header. Errors: conflict (another process has it);
  /// storage_unavailable with a sentence that says what to do: a log without its database, an empty file, no
  /// SQLite database, another program's, one that was cut off.
  static result<database_file> claim(const std::string& path);

  /// Of the file itself: symbolic links are followed.
  const std::string& path() const { return path_; }
  /// There is neither a database nor anything of one.
  bool is_new() const { return file_.get() < 0; }
  /// A new one stands at path() now.
  result<void> made();
  /// check_database() of it. Of one of this schema with more than `whole_up_to` bytes only what a start
  /// needs; false: the rest is to be checked later.
  result<bool> check(std::int64_t whole_up_to) const;
  /// Open as long as this is.
  int handle() const { return file_.get(); }
  /// It is not used: nothing of the claim stays.
  void discard() { lock_.discard(); }
  /// Any thread. Errors: storage_unavailable when another file, or none, stands at path() or in the place of
  /// its log.
  result<void> in_place() const;

 private:
  struct identity {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const identity&) const = default;
  };

  explicit database_file(std::string path) : path_(std::move(path)) {}
  result<void> open_file();
  result<void> lock_file();

  std::string path_;
  database_lock lock_;
  // Open as long as SQLite has the file: closing any descriptor of it would drop SQLite's own locks (POSIX).
  descriptor file_;
  identity opened_;
};

/// What a file that is not as it should be is called in errors, and whether they say what to do about a
/// start.
enum class found_as : std::uint8_t { database, copy };

/// How much of a database is read to see that it is whole: every page, or those of the small tables.
enum class extent : std::uint8_t { all, small_tables };

/// What takes SQLite to tell of the database at `path`, before anything is written: it is ours, its log
/// belongs to it, it is whole. Errors: storage_unavailable.
result<void> check_database(const std::string& path, found_as as, extent how_much = extent::all);

/// By its header and its tables. Not for a file that this process has open: closing a descriptor of it drops
/// SQLite's locks (POSIX). Errors: storage_unavailable.
result<void> check_is_ours(const std::string& path);

/// Gives the finished database at `unfinished` its place: synced, then renamed, then the folder synced.
/// Errors: storage_unavailable.
result<void> move_into_place(const std::string& unfinished, const std::string& path);

/// Makes an empty database of this schema at `path`, where nothing is: under another name first, so that
/// there is never an unfinished one. Errors: storage_unavailable, disk_full.
result<void> make_database(const std::string& path);

}  // namespace relay::sqlite
