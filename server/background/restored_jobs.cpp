#include "server/background/restored_jobs.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/text.hpp"
#include "common/engine/marker.hpp"
#include "server/await_store.hpp"
#include "server/background/list_reader.hpp"
#include "server/clock.hpp"

namespace relay {
namespace {

constexpr std::int64_t most_counted = 100;
constexpr std::chrono::minutes margin{10};  // before the backup, for clocks that differ

}  // namespace

awaitable<> restored_jobs::run() {
  const auto made = co_await from_store(store_, &store::restored_from);
  if (!made) {
    log_.error("cannot read whether a backup was restored: {}", made.error().log.text);
    co_return;
  }
  if (!is_set(*made)) co_return;
  log_.warn(
      "this database was restored from a backup: the jobs submitted since {} are looked up at every upstream "
      "that has a list",
      to_iso(*made, precision::milliseconds));
  while (!stopped_) {
    const bool over = co_await look(*made);
    if (over) break;
    const timestamp at = now() + again_;
    while (!stopped_ && now() < at) co_await wake_.wait(now(), at);
  }
}

// True: nothing is held any more, and every list was read.
awaitable<bool> restored_jobs::look(timestamp since) {
  bool all_read = true;
  for (const auto& u : upstreams_.all()) {
    if (stopped_) co_return false;
    if (!u->configured()) continue;
    const bool read = co_await look_at(*u, since - margin);
    all_read = all_read && read;
  }
  task_filter held;
  held.held = true;
  held.limit = most_counted;
  const auto left = co_await from_store(store_, &store::browse, held);
  if (!left || !all_read) co_return false;
  if (left->tasks.empty()) {
    co_await from_store(store_, &store::end_restore);
    log_.info("no job of the restored backup is held any more");
    co_return true;
  }
  log_.warn(
      "jobs that waited in the restored backup are held ({}{}): whether they were submitted since is not "
      "known. "
      "luma-relay task list --state held shows them; task release lets one go out, task cancel-pending ends "
      "it",
      left->has_more ? "at least " : "", left->tasks.size());
  co_return false;
}

// False: it could not be read, and is read again.
awaitable<bool> restored_jobs::look_at(upstream& at, timestamp since) {
  if (at.speaks().build_list == nullptr) {
    log_.warn("{} has no list in which the jobs since the restored backup could be looked up", at.name());
    co_return true;
  }
  listing seen(now(), {}, at.speaks());
  list_reader reader(loop_, at, metrics_, [this] { return stopped_; });
  // Every job of a page, then the next, until the list reaches back past the backup.
  struct page_taker {
    restored_jobs& of;
    upstream& at;
    listing& seen;
    timestamp since;
    awaitable<bool> operator()(const listed_page& page) const {
      for (const listed_job& j : page.jobs) co_await of.take(at, j);
      co_return !seen.covers(since);
    }
  };
  list_reader::on_page on_page = page_taker{*this, at, seen, since};
  const auto read = co_await reader.read(seen, std::move(on_page));
  if (read || stopped_) co_return read.has_value();
  log_.error("the list of {} cannot be read after a backup was restored, will try again: {}", at.name(),
             read.error().log.text);
  co_return false;
}

awaitable<> restored_jobs::take(upstream& at, const listed_job& shown) {
  const auto mark = parse_marker(shown.callback_url);
  if (!mark) co_return;
  const auto t = co_await load_task(store_, mark->task_id);
  if (!t) co_return;  // it cannot be read: it is looked up again
  if (!*t) {
    if (unknown_.insert(shown.reported.id).second)
      log_.error("{} has the job {} of ours, made for task {}, which the restored backup does not have",
                 at.name(), for_log(shown.reported.id), mark->task_id);
    co_return;
  }
  // Another relay's task of the same id there cannot be; another secret would be a forgery.
  if (!is_held(**t) || (!(*t)->marker.empty() && (*t)->marker != mark->marker)) co_return;
  task_event e = event::found_held{at.name(), mark->marker, shown.reported, shown.reply};
  const auto saved = co_await changes_.apply((*t)->id, std::move(e));
  if (saved && saved->changed())
    log_.warn("task {}: it waited in the restored backup, and {} has its job {}; it is followed from here",
              (*t)->id, at.name(), for_log(shown.reported.id));
}

void restored_jobs::stop() {
  stopped_ = true;
  wake_.notify();
}

}  // namespace relay
