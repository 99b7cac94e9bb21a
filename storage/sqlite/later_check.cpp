#include "storage/sqlite/later_check.hpp"

#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "storage/sqlite/db.hpp"

namespace relay::sqlite {
namespace {

constexpr std::size_t read_at_once = std::size_t{1} << 20;
constexpr std::chrono::minutes pause{1};
constexpr std::chrono::milliseconds between_interrupts{5};
constexpr int most_tries = 60;
constexpr int least_urgent = 19;

}  // namespace

later_check::later_check(const database_file& file, const store_hooks& hooks)
    : file_(file), hooks_(hooks), thread_([this] { run(); }) {}

result<void> later_check::so_far() const {
  const std::lock_guard lock(mutex_);
  if (damage_) return std::unexpected(*damage_);
  return {};
}

// The check is one step of one statement. SQLite 3.40 looks at an interrupt within it, and at no progress
// handler.
void later_check::give_way() {
  const std::lock_guard lock(mutex_);
  if (checking_ == nullptr) return;
  interrupted_ = true;
  sqlite3_interrupt(checking_);
}

void later_check::stop() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
  // One that comes before the step is lost.
  while (!ended_) {
    if (checking_ != nullptr) sqlite3_interrupt(checking_);
    wake_.wait_for(lock, between_interrupts, [this] { return ended_; });
  }
  lock.unlock();
  if (thread_.joinable()) thread_.join();
}

bool later_check::stopping() const {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void later_check::set_checking(sqlite3* connection) {
  const std::lock_guard lock(mutex_);
  checking_ = connection;
  if (connection != nullptr) interrupted_ = false;
}

void later_check::run() {
  // Linux has a niceness for each thread: requests come first.
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), least_urgent);
  read_ahead();
  int tries = 0;
  while (!stopping() && tries < most_tries && check() == end::gave_way) {
    ++tries;
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, pause, [this] { return stopping_; });
  }
  if (tries == most_tries) {
    hooks_.warn(
        {"the database was not checked since the start: so much is written that its log would become too "
         "long "
         "meanwhile. `luma-relay backup` makes a checked copy"});
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  wake_.notify_all();
}

// The check reads page by page, wherever they lie: from the page cache, if the file was read in its order
// before and fits there.
void later_check::read_ahead() const {
  struct stat s{};
  if (::fstat(file_.handle(), &s) != 0) return;
  const std::int64_t memory = std::int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  if (s.st_size > memory / 2) return;
  std::vector<char> part(read_at_once);
  for (off_t at = 0; at < s.st_size && !stopping(); at += static_cast<off_t>(part.size())) {
    if (::pread(file_.handle(), part.data(), part.size(), at) <= 0) return;
  }
}

later_check::end later_check::check() {
  if (!file_.in_place()) return end::finished;  // another file may stand there; the writer says so
  auto d = db::open(file_.path(), role::inspector);
  if (!d) {
    hooks_.warn({"the database cannot be opened to be checked: " + d.error().log.text});
    return end::finished;
  }
  set_checking(d->handle());
  auto whole = quick_check(*d, 1);
  const int code = sqlite3_errcode(d->handle()) & 0xff;
  set_checking(nullptr);
  if (whole) return end::finished;
  {
    // A walk that was cut short takes the pages that it did not reach for unused ones.
    const std::lock_guard lock(mutex_);
    if (interrupted_ || stopping_) return end::gave_way;
  }
  // What it found, or stumbled over. Anything else says nothing of the file.
  if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE || code == SQLITE_CORRUPT ||
      code == SQLITE_NOTADB) {
    found(std::move(whole.error()));
  } else {
    hooks_.warn({"the database could not be checked: " + whole.error().log.text});
  }
  return end::finished;
}

void later_check::found(error damage) {
  const std::string text =
      file_.path() + ": " + damage.log.text + "; restore a backup. Nothing more is written to it";
  {
    const std::lock_guard lock(mutex_);
    damage_ = std::move(damage);
  }
  hooks_.warn({text});
}

}  // namespace relay::sqlite
