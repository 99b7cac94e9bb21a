#include "storage/sqlite/reads.hpp"

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <utility>

#include "common/base/id.hpp"
#include "storage/sqlite/rows.hpp"

namespace relay::sqlite {
namespace {

constexpr std::size_t max_warned_of = 1'000;

result<std::int64_t> number(statement& s) {
  auto row = s.step();
  if (!row) return std::unexpected(std::move(row.error()));
  return *row ? s.integer(0) : 0;
}

result<timestamp> time(statement& s) {
  auto n = number(s);
  if (!n) return std::unexpected(std::move(n.error()));
  return from_column(*n);
}

result<std::vector<std::string>> texts(statement& s) {
  return all_rows(s, [](const statement& row) { return std::string(row.text(0)); });
}

}  // namespace

reads::reads(db connection, const catalogue& names, std::function<void(const log_text&)> warn)
    : connection_(std::move(connection)), names_(names), warn_(std::move(warn)) {
  const auto prepare = [this](const std::string& sql) { return connection_.prepare(sql.c_str()); };
  // One row, by its id.
  find_ = prepare(select_tasks("WHERE task_id=?1 AND owner=?2 AND deleted_at=0"));
  load_ = prepare(select_tasks("WHERE task_id=?1"));
  // A client's list, newest first: an index on (owner, id), and the table for what is on the page alone.
  begin_ = prepare("BEGIN");
  end_ = prepare("COMMIT");
  newest_ = prepare("SELECT max(id) FROM task WHERE owner=?1 AND deleted_at=0");
  newer_ = prepare("SELECT count(*) FROM task WHERE owner=?1 AND deleted_at=0 AND id>?2");
  deletions_ = prepare("SELECT deletions FROM process");
  list_ = prepare(
      "SELECT id,task_id FROM task WHERE owner=?1 AND deleted_at=0 AND id<=?2 "
      "ORDER BY id DESC LIMIT ?3 OFFSET ?4");
  // Creates that came before; the writer has statements of its own for the same.
  find_key_ = prepare(
      "SELECT task_id,request FROM idempotency "
      "WHERE owner=?1 AND digest=?2 AND kind='key' AND created_at>=?3");
  find_retry_ = prepare(
      "SELECT task_id,request FROM idempotency WHERE owner=?1 AND digest=?2 AND kind='retry' "
      "AND retries<?4 AND created_at>=?3 AND NOT EXISTS(SELECT 1 FROM task WHERE "
      "task.task_id=idempotency.task_id AND task.deleted_at>0) ORDER BY retries DESC,id DESC LIMIT 1");
  restored_from_ = prepare("SELECT restored_from FROM process");
  prepare_schedules();
  prepare_ledger();
  prepare_searches();
  prepare_customers();
  // What waits to be submitted: one step a queue, and pages of each.
  next_place_ = prepare(
      "SELECT owner,CASE WHEN pinned THEN upstream ELSE '' END FROM task WHERE next_submit_at>0 AND owner=?1 "
      "AND CASE WHEN pinned THEN upstream ELSE '' END>?2 "
      "ORDER BY owner,CASE WHEN pinned THEN upstream ELSE '' END LIMIT 1");
  next_owner_ = prepare(
      "SELECT owner,CASE WHEN pinned THEN upstream ELSE '' END FROM task WHERE next_submit_at>0 AND owner>?1 "
      "ORDER BY owner,CASE WHEN pinned THEN upstream ELSE '' END LIMIT 1");
  pending_ = prepare(
      select_tasks("WHERE next_submit_at>0 AND owner=?1 AND CASE WHEN pinned THEN upstream ELSE '' END=?2 "
                   "AND (next_submit_at,task_id)>(?3,?4) ORDER BY next_submit_at,task_id LIMIT ?5"));
  // These two are read once, at start; then kept with each change.
  polled_ = prepare(
      "SELECT task_id,owner,upstream,next_poll_at FROM task WHERE finish_time=0 AND next_poll_at>0 UNION ALL "
      "SELECT task_id,owner,upstream,next_poll_at FROM task WHERE status='failed' AND next_poll_at>0");
  pending_callbacks_ = prepare("SELECT task_id,owner,next_callback_at FROM task WHERE next_callback_at>0");
  // Jobs that have not ended have an index, finish_time=0. Those that are looked up after they have failed
  // could be meant by a job of the list too.
  submitting_to_ = prepare(select_tasks(
      "WHERE id IN (SELECT id FROM task WHERE finish_time=0 AND status='submitting' AND upstream=?1 UNION "
      "ALL "
      "SELECT id FROM task WHERE next_reconcile_at>0 AND +status='failed' AND +upstream=?1) LIMIT ?2"));
  interrupted_ = prepare(select_tasks(
      "WHERE finish_time=0 AND status='submitting' AND submitter<>?1 AND ambiguous_at=0 LIMIT ?2"));
  open_at_ = prepare(
      "SELECT task_id FROM task WHERE finish_time=0 AND status IN ('submitting','queued','running') "
      "AND upstream=?1");
  jobs_since_ = prepare("SELECT upstream_id FROM task WHERE task_id>=?1 AND upstream=?2 AND upstream_id<>''");
  lanes_ = prepare("SELECT name,mode,at_once,in_minute FROM upstream");
  // Counted once, at start; then kept with each change.
  count_ = prepare("SELECT count(*) FROM task");
  count_failed_ = prepare("SELECT count(*) FROM task WHERE status='failed'");
  open_ = prepare("SELECT owner,status,length(request),token FROM task WHERE finish_time=0");
  count_ambiguous_ = prepare("SELECT count(*) FROM task WHERE next_reconcile_at>0 AND +status='submitting'");
  count_callbacks_ = prepare("SELECT count(*) FROM task WHERE next_callback_at>0");
}

// Each has an index on (time, task_id), and a page goes on where the last one ended.
void reads::prepare_schedules() {
  const auto prepare = [this](const std::string& sql) { return connection_.prepare(sql.c_str()); };
  due_expiry_ =
      prepare(select_tasks("WHERE next_submit_at>0 AND deadline<=?1 AND (deadline,task_id)>(?2,?3) "
                           "ORDER BY deadline,task_id LIMIT ?4"));
  due_reconcile_ = prepare(select_tasks(
      "WHERE next_reconcile_at>0 AND next_reconcile_at<=?1 AND (next_reconcile_at,task_id)>(?2,?3) "
      "ORDER BY next_reconcile_at,task_id LIMIT ?4"));
  due_removal_ = prepare(
      select_tasks("WHERE next_remove_at>0 AND next_remove_at<=?1 AND (next_remove_at,task_id)>(?2,?3) "
                   "ORDER BY next_remove_at,task_id LIMIT ?4"));
  next_removal_ = prepare("SELECT min(next_remove_at) FROM task WHERE next_remove_at>0");
  next_expiry_ = prepare("SELECT min(deadline) FROM task WHERE next_submit_at>0");
  next_reconcile_ = prepare("SELECT min(next_reconcile_at) FROM task WHERE next_reconcile_at>0");
}

result<void> reads::begin_moment() {
  if (in_moment_) return {};
  const use guard(begin_);
  auto begun = begin_.step();
  if (!begun) return std::unexpected(std::move(begun.error()));
  in_moment_ = true;
  return {};
}

// Nothing was written: there is nothing that could fail.
void reads::end_moment() {
  if (!std::exchange(in_moment_, false)) return;
  const use guard(end_);
  (void)end_.step();
}

// Several statements, and one state of the table.
auto reads::of_one_moment(auto read) -> decltype(read()) {
  if (auto begun = begin_moment(); !begun) return std::unexpected(std::move(begun.error()));
  auto out = read();
  end_moment();
  return out;
}

// Null, with a warning, once for each row, when it cannot be read.
task_ptr reads::readable_task(const statement& row) {
  auto t = read_task(row, names_);
  if (t) return std::make_shared<const task>(std::move(*t));
  if (warned_of_.size() < max_warned_of && warned_of_.insert(row.integer(0)).second)
    warn_({t.error().log.text + "; it is left alone"});
  return nullptr;
}

result<std::vector<task_ptr>> reads::readable_tasks(statement& s) {
  std::vector<task_ptr> out;
  auto read = each_row(s, [&](const statement& row) {
    if (task_ptr t = readable_task(row)) out.push_back(std::move(t));
  });
  if (!read) return std::unexpected(std::move(read.error()));
  return out;
}

result<std::vector<task_ptr>> reads::all_tasks(statement& s) {
  std::vector<task_ptr> out;
  std::optional<error> unreadable;
  auto read = each_row(s, [&](const statement& row) {
    auto t = read_task(row, names_);
    if (t)
      out.push_back(std::make_shared<const task>(std::move(*t)));
    else
      unreadable = std::move(t.error());
  });
  if (!read) return std::unexpected(std::move(read.error()));
  if (unreadable) return std::unexpected(std::move(*unreadable));
  return out;
}

result<task_ptr> reads::one_task(statement& s) {
  auto found = all_tasks(s);
  if (!found) return std::unexpected(std::move(found.error()));
  return found->empty() ? nullptr : std::move(found->front());
}

result<task_ptr> reads::find(std::int64_t owner, const std::string& id) {
  const use guard(find_);
  find_.bind(1, id).bind(2, owner);
  return one_task(find_);
}

result<task_ptr> reads::load(const std::string& id) {
  const use guard(load_);
  load_.bind(1, id);
  return one_task(load_);
}

// Null for one that is unknown or foreign.
result<some_tasks> reads::find_many(std::int64_t owner, const std::vector<std::string>& ids,
                                    std::size_t room) {
  return of_one_moment([&]() -> result<some_tasks> {
    some_tasks out;
    for (std::size_t bytes = 0; out.looked_up < ids.size() && bytes <= room; ++out.looked_up) {
      auto t = find(owner, ids[out.looked_up]);
      if (!t) return std::unexpected(std::move(t.error()));
      if (*t) bytes += memory_of(**t);
      out.tasks.push_back(std::move(*t));
    }
    return out;
  });
}

result<std::int64_t> reads::number_of(statement& s, std::int64_t owner, std::int64_t other) {
  const use guard(s);
  if (&s != &deletions_) s.bind(1, owner);
  if (&s == &newer_) s.bind(2, other);
  return number(s);
}

result<task_page> reads::list(std::int64_t owner, page_request page) {
  return of_one_moment([&] { return page_within(owner, page); });
}

// From a page that began before, what has come since counted in; else from the newest.
result<reads::beginning> reads::begin_of(std::int64_t owner, std::int64_t offset, std::int64_t newest,
                                         std::int64_t deletions) {
  for (const page_places::place& p : places_.before(owner, offset, deletions)) {
    const auto newer = p.newest == newest ? 0 : number_of(newer_, owner, p.newest);
    if (!newer) return std::unexpected(newer.error());
    if (p.offset + *newer <= offset) return beginning{p.row, offset - p.offset - *newer};
  }
  return beginning{newest, offset};
}

result<task_page> reads::page_within(std::int64_t owner, page_request page) {
  constexpr std::int64_t near = 100;  // not worth remembering
  const auto newest = number_of(newest_, owner);
  if (!newest) return std::unexpected(newest.error());
  const bool far = page.offset > near;
  const auto deletions = far ? number_of(deletions_, owner) : 0;
  if (!deletions) return std::unexpected(deletions.error());
  const auto from = far ? begin_of(owner, page.offset, *newest, *deletions) : beginning{*newest, page.offset};
  if (!from) return std::unexpected(from.error());

  const use guard(list_);
  list_.bind(1, owner).bind(2, from->row).bind(3, page.limit + 1).bind(4, from->skip);
  task_page out;
  std::int64_t first = 0;
  std::int64_t next = 0;
  // One more tells whether there are more, and where they begin.
  auto read = each_row(list_, [&](const statement& row) {
    if (out.ids.empty()) first = row.integer(0);
    out.has_more = std::ssize(out.ids) == page.limit;
    if (out.has_more)
      next = row.integer(0);
    else
      out.ids.emplace_back(row.text(1));
  });
  if (!read) return std::unexpected(std::move(read.error()));
  if (far && !out.ids.empty()) places_.add(owner, {page.offset, first, *newest}, *deletions);
  if (far && out.has_more) places_.add(owner, {page.offset + page.limit, next, *newest}, *deletions);
  return out;
}

result<std::optional<written_change>> reads::find_repeated(std::int64_t owner, const idempotency_record& r) {
  const bool by_key = r.what == idempotency_record::kind::key;
  statement& s = by_key ? find_key_ : find_retry_;
  const use guard(s);
  s.bind(1, owner).bind(2, r.digest).bind(3, to_column(r.since));
  if (!by_key) s.bind(4, std::int64_t{r.retries});
  auto row = s.step();
  if (!row) return std::unexpected(std::move(row.error()));
  if (!*row) return std::nullopt;
  written_change out;
  // The same key with another request is an error of the client, not a retry.
  const bool same = std::ranges::equal(s.blob(1), r.request);
  out.what = same ? written_change::outcome::repeated : written_change::outcome::other_request;
  out.task_id = s.text(0);
  return out;
}

// The cursor is made of columns, so that rows which cannot be read move it on too.
result<due_page> reads::page_of(statement& s, int time_column) {
  static const int id = column_index("task_id");
  due_page out;
  auto read = each_row(s, [&](const statement& row) {
    ++out.rows;
    out.last = {from_column(row.integer(time_column)), std::string(row.text(id))};
    if (task_ptr t = readable_task(row)) out.tasks.push_back(std::move(t));
  });
  if (!read) return std::unexpected(std::move(read.error()));
  return out;
}

result<due_page> reads::due(schedule which, timestamp now, const schedule_cursor& after, std::int64_t limit) {
  static const int deadline = column_index("deadline");
  static const int reconcile_at = column_index("next_reconcile_at");
  static const int remove_at = column_index("next_remove_at");
  statement& s = which == schedule::expire   ? due_expiry_
                 : which == schedule::remove ? due_removal_
                                             : due_reconcile_;
  const use guard(s);
  s.bind(1, to_column(now)).bind(2, to_column(after.at)).bind(3, after.task_id).bind(4, limit);
  return page_of(s, which == schedule::expire   ? deadline
                    : which == schedule::remove ? remove_at
                                                : reconcile_at);
}

result<timestamp> reads::next_due(schedule which) {
  statement& s = which == schedule::expire   ? next_expiry_
                 : which == schedule::remove ? next_removal_
                                             : next_reconcile_;
  const use guard(s);
  return time(s);
}

result<std::vector<submit_queue>> reads::submit_queues() {
  std::vector<submit_queue> out;
  // After the last one: the owner's next place, else the next owner's first.
  const auto next = [this](statement& s, const submit_queue& last) -> result<std::optional<submit_queue>> {
    const use guard(s);
    s.bind(1, last.owner);
    if (&s == &next_place_) s.bind(2, last.pinned_to);
    auto row = s.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) return std::nullopt;
    return submit_queue{s.integer(0), std::string(s.text(1))};
  };
  for (submit_queue last{std::numeric_limits<std::int64_t>::min(), {}};; last = out.back()) {
    auto found = next(next_place_, last);
    if (found && !*found) found = next(next_owner_, last);
    if (!found) return std::unexpected(std::move(found.error()));
    if (!*found) return out;
    out.push_back(std::move(**found));
  }
}

result<due_page> reads::pending(const submit_queue& q, const schedule_cursor& after, std::int64_t limit) {
  static const int submit_at = column_index("next_submit_at");
  const use guard(pending_);
  pending_.bind(1, q.owner)
      .bind(2, q.pinned_to)
      .bind(3, to_column(after.at))
      .bind(4, after.task_id)
      .bind(5, limit);
  return page_of(pending_, submit_at);
}

result<std::vector<polled_task>> reads::polled() {
  const use guard(polled_);
  return all_rows(polled_, [](const statement& row) {
    return polled_task{std::string(row.text(0)), row.integer(1), std::string(row.text(2)),
                       from_column(row.integer(3))};
  });
}

result<std::vector<pending_callback>> reads::pending_callbacks() {
  const use guard(pending_callbacks_);
  return all_rows(pending_callbacks_, [](const statement& row) {
    return pending_callback{std::string(row.text(0)), row.integer(1), from_column(row.integer(2))};
  });
}

result<std::vector<task_ptr>> reads::submitting_to(const std::string& upstream, std::int64_t limit) {
  const use guard(submitting_to_);
  submitting_to_.bind(1, upstream).bind(2, limit);
  return readable_tasks(submitting_to_);
}

result<std::vector<task_ptr>> reads::interrupted(const std::string& self, std::int64_t limit) {
  const use guard(interrupted_);
  interrupted_.bind(1, self).bind(2, limit);
  return readable_tasks(interrupted_);
}

result<std::vector<std::string>> reads::open_at(const std::string& upstream) {
  const use guard(open_at_);
  open_at_.bind(1, upstream);
  return texts(open_at_);
}

result<std::vector<std::string>> reads::known_jobs(const std::string& upstream,
                                                   const std::vector<std::string>& upstream_ids,
                                                   timestamp since) {
  const std::unordered_set<std::string_view> wanted(upstream_ids.begin(), upstream_ids.end());
  const std::string oldest = make_id(since, {});  // ids begin with the time
  const use guard(jobs_since_);
  jobs_since_.bind(1, oldest).bind(2, upstream);
  std::vector<std::string> out;
  auto read = each_row(jobs_since_, [&](const statement& row) {
    if (wanted.contains(row.text(0))) out.emplace_back(row.text(0));
  });
  if (!read) return std::unexpected(std::move(read.error()));
  return out;
}

result<timestamp> reads::restored_from() {
  const use guard(restored_from_);
  return time(restored_from_);
}

result<std::vector<lane_memory>> reads::lane_memories() {
  const use guard(lanes_);
  return all_rows(lanes_, [](const statement& row) {
    // A word of a later release is none of ours: the lane is as the configuration says.
    const auto mode = lane_mode_from(row.text(1)).value_or(lane_mode::open);
    return lane_memory{std::string(row.text(0)), mode, row.integer(2), row.integer(3)};
  });
}

result<task_counts> reads::count_all() {
  task_counts out;
  const auto counted = [](statement& s) {
    const use guard(s);
    return number(s);
  };
  // Those that have not ended are read, all others are only counted.
  {
    const use guard(open_);
    auto read = each_row(open_, [&out](const statement& row) {
      const auto state = task_state_from(row.text(1));
      if (!state) return;
      ++out[*state];
      const std::int64_t owner = row.integer(0), token = row.integer(3);
      out.count_open(owner, token != 0 ? token : owner, *state, 1, row.integer(2));
    });
    if (!read) return std::unexpected(std::move(read.error()));
  }
  const auto all = counted(count_);
  const auto failed = counted(count_failed_);
  const auto ambiguous = counted(count_ambiguous_);
  const auto pending = counted(count_callbacks_);
  for (const auto* n : {&all, &failed, &ambiguous, &pending}) {
    if (!*n) return std::unexpected(n->error());
  }
  out[task_state::failed] = *failed;
  out[task_state::completed] = *all - *failed - out.open;
  out.ambiguous = *ambiguous;
  out.callbacks_pending = *pending;
  return out;
}

}  // namespace relay::sqlite
