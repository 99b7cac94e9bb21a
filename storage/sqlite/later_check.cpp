#include "storage/sqlite/later_check.hpp"

#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "storage/sqlite/db.hpp"

namespace relay::sqlite {
namespace {

constexpr int steps_between_looks = 10'000;  // of SQLite's virtual machine: some milliseconds
constexpr std::size_t read_at_once = std::size_t{1} << 20;
constexpr std::chrono::minutes pause{1};
constexpr int most_tries = 60;
constexpr int least_urgent = 19;

}  // namespace

later_check::later_check(std::string path, int file, std::size_t log_bytes, const store_hooks& hooks)
    : path_(std::move(path)), file_(file), log_bytes_(log_bytes), hooks_(hooks), thread_([this] { run(); }) {}

result<void> later_check::so_far() const {
  const std::lock_guard lock(mutex_);
  if (damage_) return std::unexpected(*damage_);
  return {};
}

void later_check::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool later_check::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

bool later_check::log_is_long() const {
  struct stat log{};
  return ::stat((path_ + "-wal").c_str(), &log) == 0 && static_cast<std::size_t>(log.st_size) > log_bytes_;
}

void later_check::run() {
  // Linux has a niceness for each thread: requests come first.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), least_urgent);
  read_ahead();
  for (int tries = 0; tries < most_tries; ++tries) {
    if (stopping() || (!log_is_long() && check() != end::log_too_long)) return;
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, pause, [this] { return stopping_; })) return;
  }
  hooks_.warn(
      {"the database was not checked since the start: so much is written that its log would become "
       "too long meanwhile. `luma-relay backup` makes a checked copy"});
}

// The check reads page by page, wherever they lie: from the page cache, if the file was read in its order
// before and fits there.
void later_check::read_ahead() const {
  struct stat s{};
  if (::fstat(file_, &s) != 0) return;
  const std::int64_t memory = std::int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  if (s.st_size > memory / 2) return;
  std::vector<char> part(read_at_once);
  for (off_t at = 0; at < s.st_size && !stopping(); at += static_cast<off_t>(part.size())) {
    if (::pread(file_, part.data(), part.size(), at) <= 0) return;
  }
}

// Not zero: it is interrupted.
int later_check::on_progress(void* self) {
  auto& check = *static_cast<later_check*>(self);
  check.log_was_long_ = check.log_is_long();
  return check.log_was_long_ || check.stopping() ? 1 : 0;
}

later_check::end later_check::check() {
  auto d = db::open(path_, role::reader);
  if (!d) {
    hooks_.warn({"the database cannot be opened to be checked: " + d.error().log.text});
    return end::stopped;
  }
  sqlite3_progress_handler(d->handle(), steps_between_looks, &later_check::on_progress, this);
  auto whole = quick_check(*d);
  if (whole) return end::done;
  const int code = sqlite3_errcode(d->handle());
  if (code == SQLITE_INTERRUPT) return log_was_long_ ? end::log_too_long : end::stopped;
  // What it found, or stumbled over. Anything else says nothing of the file.
  if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_CORRUPT && code != SQLITE_NOTADB) {
    hooks_.warn({"the database could not be checked: " + whole.error().log.text});
    return end::stopped;
  }
  hooks_.warn({path_ + ": " + whole.error().log.text + "; restore a backup. Nothing more is written to it"});
  const std::lock_guard lock(mutex_);
  damage_ = std::move(whole.error());
  return end::done;
}

}  // namespace relay::sqlite
