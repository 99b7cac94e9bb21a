#include "storage/sqlite/group_commit.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "common/base/fault_point.hpp"

namespace relay::sqlite {
namespace {

constexpr std::size_t page_bytes = 4'096;
constexpr int most_when_idle = 1'000;  // pages: emptied earlier when the writer has nothing else to do

}  // namespace

group_commit::group_commit(db& d, const store_hooks& hooks, commit_rules rules, std::size_t queue_bytes,
                           std::size_t log_bytes)
    : db_(d),
      hooks_(hooks),
      rules_(std::move(rules)),
      max_bytes_(queue_bytes),
      checkpoint_always_(static_cast<int>(log_bytes / page_bytes)),
      checkpoint_when_idle_(std::min(most_when_idle, checkpoint_always_ / 2)),
      begin_(d.prepare("BEGIN IMMEDIATE")),
      commit_(d.prepare("COMMIT")),
      rollback_(d.prepare("ROLLBACK")),
      savepoint_(d.prepare("SAVEPOINT one")),
      release_(d.prepare("RELEASE one")),
      rollback_to_(d.prepare("ROLLBACK TO one")),
      thread_([this] { run(); }) {}

void group_commit::push(std::unique_ptr<write> w) {
  bool accepted = false;
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    // One always fits, however large it is.
    const std::size_t bytes = w->bytes();
    accepted = !stopping_ && (queue_.empty() || queue_bytes_ + bytes <= max_bytes_);
    if (accepted) {
      first = queue_.empty();
      queue_bytes_ += bytes;
      queue_.push_back(std::move(w));
    }
  }
  // The thread sleeps only while the queue is empty.
  if (first) wake_.notify_one();
  if (accepted) return;
  auto refused =
      fail(errc::overloaded, "The relay is busy; nothing was recorded. Try again in a few seconds");
  refused.error().retry_after_seconds = 2;
  // Through the loop, as every other end of a write: never inside the call that began it.
  hooks_.post([w = std::move(w), refused = std::move(refused)]() mutable { w->finish(std::move(refused)); });
}

std::size_t group_commit::queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void group_commit::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void group_commit::run() {
  (void)checkpoint();  // whether the next write begins a new log is known from here on
  for (;;) {
    batch work;
    {
      std::unique_lock lock(mutex_);
      if (queue_.empty() && !stopping_) {
        lock.unlock();
        checkpoint_if_long(true);
        lock.lock();
      }
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) break;
      // All that came while the last transaction ran: the next one takes it together.
      work.swap(queue_);
      queue_bytes_ = 0;
    }
    commit(std::move(work));
    checkpoint_if_long(false);
  }
  fault_point("before a checkpoint");
  if (!broken_) (void)checkpoint();  // a clean exit leaves a short log; nothing depends on it
}

namespace {

result<void> run_one(statement& s) {
  const use guard(s);
  auto row = s.step();
  if (!row) return std::unexpected(std::move(row.error()));
  return {};
}

}  // namespace

// One write, and its own end. What it returns is an error of the whole transaction. One that is refused takes
// no other with it: a statement is undone by SQLite, several by a savepoint.
result<void> group_commit::apply_one(write& w, result<void>& outcome) {
  const bool alone = w.is_one_statement();
  if (!alone) outcome = run_one(savepoint_);
  if (outcome) outcome = w.apply();
  // Disk full, an I/O error, no memory: SQLite has rolled back everything. What would follow now would be
  // outside of any transaction, and on disk although it is reported as failed.
  if (!db_.in_transaction()) return outcome ? failed("a write ended its transaction", db_.handle()) : outcome;
  // The caller may make space: then all of them are done again.
  if (!outcome && outcome.error().code == errc::disk_full) return outcome;
  if (alone) return {};
  result<void> whole;
  if (!outcome) whole = run_one(rollback_to_);
  if (auto released = run_one(release_); !released && whole) whole = released;
  return whole;
}

// One transaction. What it fails with as a whole; each write's own end goes into `outcomes`. `broken`:
// nothing more may be written.
result<void> group_commit::transaction(batch& work, std::vector<result<void>>& outcomes, bool& broken) {
  outcomes.assign(work.size(), {});
  result<void> whole = run_one(begin_);
  if (whole && new_log_) whole = rules_.begin_log();
  for (std::size_t i = 0; i < work.size() && whole; ++i) whole = apply_one(*work[i], outcomes[i]);
  if (whole && !(whole = rules_.may_write())) broken = true;
  if (whole) whole = run_one(commit_);
  if (whole) new_log_ = false;
  // After a failed fsync the kernel may have dropped the pages: what is on disk is no longer known.
  if (!whole && db_.lost_a_sync()) {
    whole.error().may_retry = false;
    broken = true;
  }
  if (db_.in_transaction()) (void)run_one(rollback_);
  return whole;
}

void group_commit::commit(batch work) {
  const auto started = std::chrono::steady_clock::now();
  std::vector<result<void>> outcomes(work.size());
  bool broken = false;
  result<void> whole = broken_ ? *broken_ : transaction(work, outcomes, broken);
  if (!whole && whole.error().code == errc::disk_full && !broken) {
    // The ballast makes space, and a checkpoint lets the log begin anew in the space it has.
    const bool space = hooks_.disk_full();
    const bool emptied = db_.wal_pages() > 0 && checkpoint().has_value();
    if (space || emptied) whole = transaction(work, outcomes, broken);
  }
  // Taken away in the moment of the commit: what was written may come back with the file.
  if (whole && !(whole = rules_.in_place())) {
    whole.error().message.text =
        "The relay's database went away while the request was recorded; whether it was recorded is not known";
    whole.error().may_retry = false;
    broken = true;
  }
  if (broken && !broken_) stop_writing(whole.error());
  if (!whole) {
    hooks_.warn({"a transaction failed, and all its writes (" + std::to_string(work.size()) +
                 ") are refused: " + whole.error().log.text});
    for (result<void>& o : outcomes) o = whole;
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  fault_point("committed, no response sent");

  // Back on the loop thread: memory, hooks, and the callers that wait for the writes.
  hooks_.post([this, work = std::move(work), outcomes = std::move(outcomes), seconds]() mutable {
    hooks_.committed(work.size(), seconds);
    for (std::size_t i = 0; i < work.size(); ++i) work[i]->finish(std::move(outcomes[i]));
  });
}

void group_commit::stop_writing(const error& why) {
  // What comes later is not tried, whatever became of what was.
  error later = why;
  later.message.text = "The relay's database cannot be used now; nothing was recorded. Try again later";
  later.may_retry = true;
  broken_ = std::unexpected(std::move(later));
  hooks_.stopped({"no more writes until a restart, and no new jobs: " + why.log.text});
}

result<void> group_commit::checkpoint() {
  auto all = db_.checkpoint();
  if (!all) return std::unexpected(std::move(all.error()));
  if (*all) new_log_ = true;
  return {};
}

void group_commit::checkpoint_if_long(bool idle) {
  if (broken_ || db_.wal_pages() < (idle ? checkpoint_when_idle_ : checkpoint_always_)) return;
  fault_point("before a checkpoint");
  if (auto done = checkpoint(); !done)
    hooks_.warn({"checkpoint failed, will try again: " + done.error().log.text});
}

}  // namespace relay::sqlite
