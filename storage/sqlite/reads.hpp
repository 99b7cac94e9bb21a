#pragma once

// Every read of the store, as functions over one read-only connection. One thread at a time.

#include <unordered_set>
#include <variant>
#include <vector>

#include "storage/sqlite/columns.hpp"
#include "storage/sqlite/page_places.hpp"
#include "storage/store.hpp"

namespace relay::sqlite {

/// Of an operator's search, after "SELECT … FROM task"; `values` are those of its parameters.
std::string browse_sql(const task_filter& filter,
                       std::vector<std::variant<std::int64_t, std::string>>& values);

class reads {
 public:
  /// `warn`: any thread. Throws std::logic_error if a statement of ours is wrong.
  reads(db connection, const catalogue& names, std::function<void(const log_text&)> warn);

  /// Until end_moment() all reads see one state of the file, and its locks are taken once. Again: nothing.
  result<void> begin_moment();
  void end_moment();

  result<task_ptr> find(std::int64_t owner, const std::string& id);
  result<task_ptr> load(const std::string& id);
  result<some_tasks> find_many(std::int64_t owner, const std::vector<std::string>& ids, std::size_t room);
  /// The ids of a page, without its tasks.
  result<task_page> list(std::int64_t owner, page_request page);
  result<std::optional<written_change>> find_repeated(std::int64_t owner, const idempotency_record& r);

  result<found_tasks> browse(const task_filter& filter);
  result<std::vector<task_ptr>> search(const std::string& text, std::int64_t limit);
  result<due_page> due(schedule s, timestamp now, const schedule_cursor& after, std::int64_t limit);
  result<timestamp> next_due(schedule s);
  result<std::vector<submit_queue>> submit_queues();
  result<due_page> pending(const submit_queue& q, const schedule_cursor& after, std::int64_t limit);
  result<std::vector<polled_task>> polled();
  result<std::vector<pending_callback>> pending_callbacks();
  result<std::vector<task_ptr>> submitting_to(const std::string& upstream, std::int64_t limit);
  result<std::vector<task_ptr>> interrupted(const std::string& self, std::int64_t limit);
  result<std::vector<std::string>> open_at(const std::string& upstream);
  result<std::vector<std::string>> known_jobs(const std::string& upstream,
                                              const std::vector<std::string>& upstream_ids, timestamp since);
  result<timestamp> restored_from();
  result<std::vector<lane_memory>> lane_memories();
  result<std::vector<token>> tokens();
  result<std::vector<admin_token>> admin_tokens();
  result<std::vector<audit_row>> audit(std::int64_t before, std::int64_t limit);
  result<std::optional<carried_out>> find_carried_out(const std::string& made_by, const std::string& key);
  result<std::vector<account>> accounts();
  result<std::optional<account>> account_by_id(std::int64_t id);
  result<account_balance> balance(std::int64_t account);
  result<std::vector<ledger_row>> ledger(const ledger_filter& f);
  result<std::vector<usage_entry>> usage(const usage_query& q);
  /// By reading an index over the whole table: at start only.
  result<task_counts> count_all();

 private:
  // A row that cannot be read is an error to the client that asks for it, and left out, with a warning, where
  // others would have to wait for it.
  result<std::vector<task_ptr>> readable_tasks(statement& s);
  auto of_one_moment(auto read) -> decltype(read());
  task_ptr readable_task(const statement& row);
  void prepare_schedules();
  void prepare_ledger();
  void prepare_searches();
  void prepare_customers();
  result<due_page> page_of(statement& s, int time_column);
  result<task_page> page_within(std::int64_t owner, page_request page);
  struct beginning {
    std::int64_t row;   // the first that is looked at
    std::int64_t skip;  // rows from there to the page
  };
  result<beginning> begin_of(std::int64_t owner, std::int64_t offset, std::int64_t newest,
                             std::int64_t deletions);
  result<std::int64_t> number_of(statement& s, std::int64_t owner, std::int64_t other = 0);
  result<std::vector<task_ptr>> all_tasks(statement& s);
  result<task_ptr> one_task(statement& s);

  db connection_;
  const catalogue& names_;
  const std::function<void(const log_text&)> warn_;
  std::unordered_set<std::int64_t> warned_of_;  // rows
  page_places places_;
  bool in_moment_ = false;
  statement begin_, end_, newest_, newer_, deletions_;
  statement find_, load_, list_, search_, find_key_, find_retry_, restored_from_, lanes_, due_expiry_,
      due_reconcile_, due_removal_, next_expiry_, next_reconcile_, next_removal_, next_place_, next_owner_,
      pending_, polled_, pending_callbacks_, submitting_to_, interrupted_, open_at_, jobs_since_, tokens_,
      accounts_, account_by_id_, count_, count_failed_, open_, count_ambiguous_, count_callbacks_, balance_,
      ledger_, ledger_of_account_, ledger_of_job_, audit_, carried_out_, admin_tokens_;
};

}  // namespace relay::sqlite
