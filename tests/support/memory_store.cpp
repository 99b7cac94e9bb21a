#include "tests/support/memory_store.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <tuple>

#include "common/base/id.hpp"

namespace relay::test {
namespace {

struct record {
  std::int64_t owner = 0;
  idempotency_record what;
  std::string task_id;
  int retries = 0;
  timestamp created_at;
};

struct tables {
  std::map<std::string, task_ptr> tasks;  // by id
  std::vector<record> records;
  std::vector<account> accounts;
  std::vector<token> tokens;
  std::map<std::int64_t, account_balance> balances;
  std::vector<ledger_row> ledger;
  std::vector<usage_entry> usage;
  std::map<std::string, lane_memory> lanes;
  std::vector<admin_token> admin_tokens;
  std::vector<audit_row> audit;
  std::map<std::int64_t, kept_response> responses;  // by audit_row::id
  std::int64_t rows = 0;
  timestamp alive_at;
};

// One for each path. Opened and closed by tests' own threads.
std::mutex all_mutex;
std::map<std::string, std::shared_ptr<tables>> all_tables;  // guarded by all_mutex

std::shared_ptr<tables> tables_at(const std::string& path) {
  const std::lock_guard lock(all_mutex);
  auto& kept = all_tables[path];
  if (!kept) kept = std::make_shared<tables>();
  return kept;
}

timestamp earliest(timestamp a, timestamp b) {
  if (!is_set(a) || !is_set(b)) return std::max(a, b);
  return std::min(a, b);
}

class memory_store final : public store {
 public:
  memory_store(std::shared_ptr<tables> t, store_hooks hooks) : kept_(std::move(t)), hooks_(std::move(hooks)) {
    for (const auto& [id, task] : kept_->tasks) counts_.add(*task);
  }

  task_ptr in_memory(const std::string&) override { return nullptr; }
  const task_counts& counts() const override { return counts_; }
  std::size_t queued() const override { return 0; }

  void find(std::int64_t owner, const std::string& id, completion<task_ptr> done) override {
    task_ptr t = at(id);
    if (t && !is_shown_to(*t, owner)) t = nullptr;
    answer(std::move(done), std::move(t));
  }
  void load(const std::string& id, completion<task_ptr> done) override { answer(std::move(done), at(id)); }
  void find_many(std::int64_t owner, std::vector<std::string> ids, std::size_t room,
                 completion<some_tasks> done) override {
    some_tasks out;
    for (std::size_t bytes = 0; out.looked_up < ids.size() && bytes <= room; ++out.looked_up) {
      task_ptr t = at(ids[out.looked_up]);
      if (!t || !is_shown_to(*t, owner)) continue;
      bytes += memory_of(*t);
      out.tasks.push_back(std::move(t));
    }
    answer(std::move(done), std::move(out));
  }
  void list(std::int64_t owner, page_request page, std::size_t room, completion<task_page> done) override {
    std::vector<task_ptr> own = where([owner](const task& t) { return is_shown_to(t, owner); });
    std::ranges::sort(own, std::greater{}, [](const task_ptr& t) { return t->row; });
    task_page out;
    std::size_t bytes = 0;
    for (std::int64_t i = page.offset; i < std::ssize(own) && i < page.offset + page.limit; ++i) {
      const task_ptr& t = own[static_cast<std::size_t>(i)];
      out.ids.push_back(t->id);
      if (bytes > room) continue;
      bytes += memory_of(*t);
      out.tasks.push_back(t);
    }
    out.has_more = std::ssize(own) > page.offset + page.limit;
    answer(std::move(done), std::move(out));
  }
  void find_repeated(std::int64_t owner, const idempotency_record& r,
                     completion<std::optional<written_change>> done) override {
    std::optional<written_change> out;
    if (const record* found = repeated(owner, r)) out = outcome_of(*found, r);
    answer(std::move(done), std::move(out));
  }

  void browse(const task_filter& f, completion<found_tasks> done) override {
    std::vector<task_ptr> out = where([&f](const task& t) {
      return (!f.state || t.state == *f.state) && (!f.owner || t.owner == *f.owner) &&
             (!f.token || token_of(t) == *f.token) && (!f.ambiguous || is_ambiguous(t)) &&
             (!f.held || is_held(t)) && (!f.undelivered || !t.callback_problem.empty()) &&
             (f.upstream.empty() || t.upstream == f.upstream) &&
             (f.action.empty() || t.action->name == f.action) &&
             (!is_set(f.since) || t.created_at >= f.since) && (!is_set(f.until) || t.created_at < f.until) &&
             (f.oldest_first ? t.row > f.after : t.row < f.before) &&
             (f.text.empty() || t.id.starts_with(f.text) || t.upstream_id.contains(f.text));
    });
    std::ranges::sort(out, [&f](const task_ptr& a, const task_ptr& b) {
      return f.oldest_first ? a->row < b->row : a->row > b->row;
    });
    found_tasks found;
    found.has_more = std::ssize(out) > f.limit;
    if (found.has_more) out.resize(static_cast<std::size_t>(f.limit));
    if (!out.empty()) found.last_row = out.back()->row;
    found.tasks = std::move(out);
    answer(std::move(done), std::move(found));
  }
  void search(const std::string& text, std::int64_t limit, completion<std::vector<task_ptr>> done) override {
    some(std::move(done), limit, [&text](const task& t) {
      return !text.empty() && (t.id.starts_with(text) || t.upstream_id == text);
    });
  }
  void due(schedule s, timestamp now, const schedule_cursor& after, std::int64_t limit,
           completion<due_page> done) override {
    answer(std::move(done), page_of(scheduled(s), time_in(s), now, after, limit));
  }
  void submit_queues(completion<std::vector<submit_queue>> done) override {
    std::set<submit_queue> out;
    for (const task_ptr& t : where([](const task& w) { return is_set(w.next_submit_at); }))
      out.insert(queue_of(*t));
    answer(std::move(done), std::vector<submit_queue>(out.begin(), out.end()));
  }
  void pending(const submit_queue& q, const schedule_cursor& after, std::int64_t limit,
               completion<due_page> done) override {
    auto own = where([&q](const task& t) { return is_set(t.next_submit_at) && queue_of(t) == q; });
    answer(std::move(done), page_of(std::move(own), &task::next_submit_at, timestamp::max(), after, limit));
  }
  void next_due(schedule s, completion<timestamp> done) override {
    timestamp next;
    for (const task_ptr& t : scheduled(s)) next = earliest(next, (*t).*time_in(s));
    answer(std::move(done), next);
  }
  void polled(completion<std::vector<polled_task>> done) override {
    std::vector<polled_task> out;
    for (const auto& [id, t] : kept_->tasks) {
      if (is_set(t->next_poll_at)) out.push_back({id, t->owner, t->upstream, t->next_poll_at});
    }
    answer(std::move(done), std::move(out));
  }
  void pending_callbacks(completion<std::vector<pending_callback>> done) override {
    std::vector<pending_callback> out;
    for (const auto& [id, t] : kept_->tasks) {
      if (is_set(t->next_callback_at)) out.push_back({id, t->owner, t->next_callback_at});
    }
    answer(std::move(done), std::move(out));
  }
  void submitting_to(const std::string& upstream, std::int64_t limit,
                     completion<std::vector<task_ptr>> done) override {
    some(std::move(done), limit, [&upstream](const task& t) {
      return (t.state == task_state::submitting || is_looked_up_late(t)) && t.upstream == upstream;
    });
  }
  void interrupted(const std::string& self, std::int64_t limit,
                   completion<std::vector<task_ptr>> done) override {
    some(std::move(done), limit, [&self](const task& t) {
      return t.state == task_state::submitting && t.submitter != self && !is_ambiguous(t);
    });
  }
  void open_at(const std::string& upstream, completion<std::vector<std::string>> done) override {
    std::vector<std::string> out;
    for (const auto& [id, t] : kept_->tasks) {
      const bool open = t->state == task_state::submitting || t->state == task_state::queued ||
                        t->state == task_state::running;
      if (open && t->upstream == upstream) out.push_back(id);
    }
    answer(std::move(done), std::move(out));
  }
  void known_jobs(const std::string& upstream, std::vector<std::string> upstream_ids, timestamp since,
                  completion<std::vector<std::string>> done) override {
    const std::string oldest = make_id(since, {});
    std::vector<std::string> out;
    for (const auto& [id, t] : kept_->tasks) {
      if (id >= oldest && t->upstream == upstream &&
          std::ranges::find(upstream_ids, t->upstream_id) != upstream_ids.end())
        out.push_back(t->upstream_id);
    }
    answer(std::move(done), std::move(out));
  }
  // Restoring is the other engine's.
  void restored_from(completion<timestamp> done) override { answer(std::move(done), timestamp(never)); }
  void end_restore(completion<std::int64_t> done) override { answer(std::move(done), 0); }
  void lane_memories(completion<std::vector<lane_memory>> done) override {
    std::vector<lane_memory> out;
    for (const auto& [name, m] : kept_->lanes) out.push_back(m);
    answer(std::move(done), std::move(out));
  }
  void keep_lane(lane_memory m, completion<std::int64_t> done) override {
    kept_->lanes.insert_or_assign(m.name, m);
    answer(std::move(done), 0);
  }
  void tokens(completion<std::vector<token>> done) override { answer(std::move(done), kept_->tokens); }
  void accounts(completion<std::vector<account>> done) override { answer(std::move(done), kept_->accounts); }
  void account_by_id(std::int64_t id, completion<std::optional<account>> done) override {
    const account* found = account_of(id);
    answer(std::move(done), found != nullptr ? std::optional(*found) : std::nullopt);
  }

  void balance(std::int64_t account, completion<account_balance> done) override {
    answer(std::move(done), kept_->balances[account]);
  }
  void ledger(ledger_filter f, completion<std::vector<ledger_row>> done) override {
    std::vector<ledger_row> out;
    for (auto row = kept_->ledger.rbegin(); row != kept_->ledger.rend() && std::ssize(out) < f.limit; ++row) {
      const bool is_meant = (!f.account || row->entry.account == *f.account) &&
                            (f.task_id.empty() || row->entry.task_id == f.task_id) &&
                            (f.before == 0 || row->id < f.before);
      if (is_meant) out.push_back(*row);
    }
    answer(std::move(done), std::move(out));
  }
  void usage(usage_query q, completion<std::vector<usage_entry>> done) override {
    std::vector<usage_entry> out;
    for (const usage_entry& u : kept_->usage) {
      if (u.day < q.since || u.day > q.until || (q.account && u.account != *q.account)) continue;
      const usage_entry key = reduced(u, q.by);
      const auto same = std::ranges::find_if(out, [&](const usage_entry& o) { return same_key(o, key); });
      add(same == out.end() ? out.emplace_back(key) : *same, u);
    }
    std::erase_if(out, [](const usage_entry& u) { return u.jobs == 0; });
    std::ranges::sort(out, {}, [](const usage_entry& u) {
      return std::tuple(u.day, u.account, u.token, u.action, u.model, u.upstream, u.outcome);
    });
    answer(std::move(done), std::move(out));
  }
  void book(ledger_entry e, audit_ptr why, completion<ledger_row> done) override {
    if (!audited(std::move(why), done)) return;
    if (account_of(e.account) == nullptr)
      return answer<ledger_row>(std::move(done), fail(errc::task_not_found, "there is no such account"));
    enter(e);
    answer(std::move(done), kept_->ledger.back());
  }

  void write(change c, completion<written_change> done) override {
    if (closed_)
      return answer<written_change>(std::move(done), fail(errc::overloaded, "the store is closed"));
    if (!audited(std::move(c.why), done)) return;
    written_change out;
    if (!c.before && c.idempotency && !c.idempotency->stands_alone) {
      if (record* found = repeated(c.after->owner, *c.idempotency)) {
        out = outcome_of(*found, *c.idempotency);
        if (found->what.what == idempotency_record::kind::retry) found->retries = c.idempotency->retries;
        return answer(std::move(done), std::move(out));
      }
    }
    const task_ptr now = at(c.after->id);
    const bool is_owned = account_of(c.after->owner) != nullptr;
    if (c.before ? !now || now->revision != c.before->revision : now != nullptr || !is_owned)
      return answer<written_change>(std::move(done), fail(errc::conflict, "another revision is kept"));
    if (c.booked) {
      if (auto refusal = cannot_book(*c.booked)) return answer<written_change>(std::move(done), *refusal);
      if (c.booked->ledger) enter(*c.booked->ledger);
      for (const usage_entry& u : c.booked->usage) kept_->usage.push_back(u);
    }
    const std::shared_ptr<task> next = std::move(c.after);
    next->revision = (c.before ? c.before->revision : 0) + 1;
    if (c.before) {  // what was requested never changes
      next->row = now->row;
      next->owner = now->owner;
      next->request = now->request;
    } else {
      next->row = ++kept_->rows;
    }
    if (!c.before && c.idempotency) {
      std::erase_if(kept_->records, [&](const record& r) {  // the key was forgotten
        return r.owner == next->owner && r.what.what == idempotency_record::kind::key &&
               r.what.digest == c.idempotency->digest;
      });
      kept_->records.push_back(
          {next->owner, *c.idempotency, next->id, c.idempotency->retries, next->created_at});
    }
    if (now) counts_.remove(*now);
    counts_.add(*next);
    out.value = next;
    kept_->tasks[next->id] = next;
    hooks_.post([this, next = task_ptr(next), out = std::move(out), done = std::move(done)]() mutable {
      hooks_.committed(1, 0);
      hooks_.saved(next);
      done(std::move(out));
    });
  }

  void write_account(account a, audit_ptr why, completion<account> done) override {
    if (!audited(std::move(why), done)) return;
    account* known = account_of(a.id);
    if (a.id != 0 && known == nullptr)
      return answer<account>(std::move(done), fail(errc::task_not_found, "there is no such account"));
    if (known != nullptr && known->revision != a.revision)
      return answer<account>(std::move(done), fail(errc::conflict, "the account was changed meanwhile"));
    if (std::ranges::any_of(kept_->accounts,
                            [&a](const account& other) { return other.name == a.name && other.id != a.id; }))
      return answer<account>(std::move(done),
                             fail(errc::conflict, "there is an account named \"" + a.name + "\" already"));
    ++a.revision;
    if (known != nullptr) {
      a.created_at = known->created_at;
      *known = a;
    } else {
      a.id = std::ssize(kept_->accounts) + 1;
      a.revision = 1;
      kept_->accounts.push_back(a);
    }
    answer(std::move(done), std::move(a));
  }
  void insert_token(token t, audit_ptr why, completion<token> done) override {
    if (!audited(std::move(why), done)) return;
    const auto in_the_way = [&t](const token& other) {
      return other.account == t.account && other.name == t.name && !other.revoked();
    };
    if (account_of(t.account) == nullptr || std::ranges::any_of(kept_->tokens, in_the_way))
      return answer<token>(std::move(done),
                           fail(errc::conflict, "there is a token named \"" + t.name + "\" already"));
    t.id = std::ssize(kept_->tokens) + 1;
    kept_->tokens.push_back(t);
    answer(std::move(done), std::move(t));
  }
  void change_token(token t, audit_ptr why, completion<token> done) override {
    if (!audited(std::move(why), done)) return;
    const bool is_taken = std::ranges::any_of(kept_->tokens, [&t](const token& other) {
      return other.account == t.account && other.name == t.name && other.id != t.id && !other.revoked();
    });
    if (is_taken)
      return answer<token>(std::move(done),
                           fail(errc::conflict, "there is a token named \"" + t.name + "\" already"));
    with_token(t.id, std::move(done), [&t](token& kept) {
      kept.name = t.name;
      kept.expires_at = t.expires_at;
      kept.addresses = t.addresses;
      kept.limits = t.limits;
    });
  }
  void note_use(std::vector<std::int64_t> tokens, std::int32_t day, completion<std::int64_t> done) override {
    for (token& t : kept_->tokens) {
      if (std::ranges::find(tokens, t.id) != tokens.end()) t.last_used = std::max(t.last_used, day);
    }
    answer(std::move(done), std::ssize(tokens));
  }
  void revoke_token(std::int64_t id, timestamp now, audit_ptr why, completion<token> done) override {
    if (!audited(std::move(why), done)) return;
    with_token(id, std::move(done), [now](token& t) { t.revoked_at = now; });
  }
  void rotate_token(std::int64_t id, new_secret with, audit_ptr why, completion<token> done) override {
    if (!audited(std::move(why), done)) return;
    with_token(id, std::move(done), [&with](token& t) {
      t.old_digest = std::exchange(t.digest, with.digest);
      t.old_ends_at = with.old_ends_at;
      t.hint = with.hint;
    });
  }
  void admin_tokens(completion<std::vector<admin_token>> done) override {
    answer(std::move(done), kept_->admin_tokens);
  }
  void insert_admin_token(admin_token t, audit_ptr why, completion<admin_token> done) override {
    if (std::ranges::any_of(kept_->admin_tokens,
                            [&t](const admin_token& o) { return o.name == t.name && !o.revoked(); }))
      return answer<admin_token>(std::move(done),
                                 fail(errc::conflict, "there is an admin token named so already"));
    if (!audited(std::move(why), done)) return;
    t.id = std::ssize(kept_->admin_tokens) + 1;
    kept_->admin_tokens.push_back(t);
    answer(std::move(done), std::move(t));
  }
  void revoke_admin_token(std::int64_t id, timestamp now, audit_ptr why,
                          completion<admin_token> done) override {
    const auto found = std::ranges::find(kept_->admin_tokens, id, &admin_token::id);
    if (found == kept_->admin_tokens.end() || found->revoked())
      return answer<admin_token>(std::move(done), fail(errc::task_not_found, "there is no such admin token"));
    if (!audited(std::move(why), done)) return;
    found->revoked_at = now;
    answer(std::move(done), *found);
  }
  void audit(std::int64_t before, std::int64_t limit, completion<std::vector<audit_row>> done) override {
    std::vector<audit_row> out;
    for (auto row = kept_->audit.rbegin(); row != kept_->audit.rend() && std::ssize(out) < limit; ++row) {
      if (row->id < before) out.push_back(*row);
    }
    answer(std::move(done), std::move(out));
  }
  void find_carried_out(const std::string& made_by, const std::string& key,
                        completion<std::optional<carried_out>> done) override {
    std::optional<carried_out> out;
    if (const audit_row* row = row_with(made_by, key)) {
      const auto kept = kept_->responses.find(row->id);
      const audit_entry& e = row->entry;
      out = carried_out{row->id, e.request, e.operation, e.target, e.request_id, {}};
      if (kept != kept_->responses.end()) out->response = kept->second;
    }
    answer(std::move(done), std::move(out));
  }
  void note_change(audit_ptr why, completion<std::int64_t> done) override {
    if (audited(std::move(why), done)) answer(std::move(done), std::ssize(kept_->audit));
  }
  void keep_response(const std::string& made_by, const std::string& key, kept_response what,
                     completion<std::int64_t> done) override {
    const audit_row* row = row_with(made_by, key);
    if (row != nullptr) kept_->responses.try_emplace(row->id, std::move(what));
    answer(std::move(done), std::int64_t{row != nullptr});
  }
  void rebase(timestamp now, schedule_limits l, completion<std::int64_t> done) override {
    std::int64_t moved = 0;
    for (auto& [id, kept] : kept_->tasks) {
      task t = *kept;
      const auto pull = [&](timestamp& at, milliseconds ahead, timestamp to) {
        if (!is_set(at) || at <= now + ahead) return;
        at = to;
        ++moved;
      };
      const bool pending = is_set(t.next_submit_at);
      const bool open = t.state == task_state::queued || t.state == task_state::running;
      const bool late = t.state == task_state::failed && (is_set(t.next_poll_at) || is_looked_up_late(t));
      const milliseconds limit = pending ? l.submit_deadline : open ? l.job_deadline : l.late_for;
      pull(t.next_submit_at, l.submit, now);
      pull(t.next_poll_at, l.poll, now);
      pull(t.next_reconcile_at, l.reconcile, now);
      pull(t.next_remove_at, l.remove, now);
      pull(t.next_callback_at, l.callback, now);
      if (pending || open || late) pull(t.deadline, limit, now + limit);
      if (is_set(t.next_reconcile_at)) pull(t.ambiguous_at, milliseconds(0), now);
      if (t.state == task_state::submitting)
        pull(t.attempted_at, milliseconds(0), timestamp(std::chrono::microseconds(1)));
      kept = std::make_shared<const task>(std::move(t));
    }
    answer(std::move(done), std::move(moved));
  }
  void mark_alive(timestamp now, completion<std::int64_t> done) override {
    kept_->alive_at = now;
    answer(std::move(done), 0);
  }
  void resume(timestamp now, completion<milliseconds> done) override {
    milliseconds down{0};
    if (is_set(kept_->alive_at))
      down = std::max(down, std::chrono::floor<milliseconds>(now - kept_->alive_at));
    kept_->alive_at = now;
    move_deadlines(down);
    answer(std::move(done), std::move(down));
  }
  void extend_deadlines(milliseconds by, completion<std::int64_t> done) override {
    answer(std::move(done), move_deadlines(by));
  }
  void purge_idempotency(timestamp before, std::int64_t limit, completion<std::int64_t> done) override {
    std::int64_t gone = 0;
    std::erase_if(kept_->records, [&](const record& r) { return r.created_at < before && gone++ < limit; });
    answer(std::move(done), std::min(gone, limit));
  }
  void purge_tasks(timestamp before, std::int64_t limit, completion<std::int64_t> done) override {
    std::int64_t gone = 0;
    std::erase_if(kept_->tasks, [&](const auto& entry) {
      const task& t = *entry.second;
      const bool old = is_terminal(t.state) && t.finished_at < before && !is_set(t.next_poll_at) &&
                       !is_set(t.next_reconcile_at) && !is_set(t.next_callback_at) &&
                       !is_set(t.next_remove_at) && gone < limit;
      if (old) counts_.remove(t);
      gone += old;
      return old;
    });
    answer(std::move(done), std::move(gone));
  }
  void close() override { closed_ = true; }

 private:
  template <class T>
  void answer(completion<T> done, std::type_identity_t<result<T>> r) {
    hooks_.post([done = std::move(done), r = std::move(r)]() mutable { done(std::move(r)); });
  }
  const audit_row* row_with(const std::string& made_by, const std::string& key) {
    const auto found = std::ranges::find_if(kept_->audit, [&](const audit_row& r) {
      return !key.empty() && r.entry.made_by == made_by && r.entry.idempotency_key == key;
    });
    return found == kept_->audit.end() ? nullptr : &*found;
  }
  // False: its key was used before, and `done` gets that. The row is added when the change ends without an
  // error.
  template <class T>
  bool audited(audit_ptr why, completion<T>& done) {
    if (!why) return true;
    if (row_with(why->made_by, why->idempotency_key) != nullptr) {
      answer<T>(std::move(done), fail(errc::internal, "a request with this idempotency key was carried out"));
      return false;
    }
    done = [this, why = std::move(why), done = std::move(done)](result<T> r) mutable {
      if (r) kept_->audit.push_back({std::ssize(kept_->audit) + 1, *why});
      done(std::move(r));
    };
    return true;
  }
  std::optional<std::unexpected<error>> cannot_book(const booking& b) {
    if (!b.ledger) return std::nullopt;
    const ledger_entry& e = *b.ledger;
    const bool is_there = std::ranges::any_of(kept_->ledger, [&e](const ledger_row& row) {
      return !e.task_id.empty() && row.entry.task_id == e.task_id && row.entry.kind == e.kind;
    });
    if (is_there) return fail(errc::internal, "the job has such a row already");
    const account* of = account_of(e.account);
    if (e.must_be_covered && of->prepaid && kept_->balances[e.account].left() < e.held)
      return fail(errc::insufficient_credits, "Insufficient credits");
    return std::nullopt;
  }
  void enter(const ledger_entry& e) {
    account_balance& has = kept_->balances[e.account];
    has.balance += e.amount;
    has.held += e.held;
    kept_->ledger.push_back({std::ssize(kept_->ledger) + 1, e, has});
  }
  // What it is told apart by, and nothing else.
  static usage_entry reduced(const usage_entry& u, const std::vector<usage_by>& by) {
    usage_entry out;
    for (const usage_by b : by) {
      if (b == usage_by::day) out.day = u.day;
      if (b == usage_by::account) out.account = u.account;
      if (b == usage_by::token) out.token = u.token;
      if (b == usage_by::action) out.action = u.action;
      if (b == usage_by::model) out.model = u.model;
      if (b == usage_by::upstream) out.upstream = u.upstream;
      if (b == usage_by::outcome) out.outcome = u.outcome;
    }
    return out;
  }
  static bool same_key(const usage_entry& a, const usage_entry& b) {
    return std::tie(a.day, a.account, a.token, a.action, a.model, a.upstream, a.outcome) ==
           std::tie(b.day, b.account, b.token, b.action, b.model, b.upstream, b.outcome);
  }
  static void add(usage_entry& to, const usage_entry& u) {
    to.jobs += u.jobs;
    to.amount += u.amount;
    to.cost += u.cost;
    to.wait += u.wait;
    to.run += u.run;
  }
  std::int64_t move_deadlines(milliseconds by) {
    std::int64_t moved = 0;
    for (auto& [id, kept] : kept_->tasks) {
      if (is_terminal(kept->state) || !is_set(kept->deadline)) continue;
      task t = *kept;
      t.deadline += by;
      ++t.revision;
      kept = std::make_shared<const task>(std::move(t));
      ++moved;
    }
    return moved;
  }
  task_ptr at(const std::string& id) const {
    const auto found = kept_->tasks.find(id);
    return found == kept_->tasks.end() ? nullptr : found->second;
  }
  template <class Predicate>
  std::vector<task_ptr> where(Predicate p) const {
    std::vector<task_ptr> out;
    for (const auto& [id, t] : kept_->tasks) {
      if (p(*t)) out.push_back(t);
    }
    return out;
  }
  template <class Predicate>
  void some(completion<std::vector<task_ptr>> done, std::int64_t limit, Predicate p) {
    std::vector<task_ptr> out = where(p);
    if (std::ssize(out) > limit) out.resize(static_cast<std::size_t>(limit));
    answer(std::move(done), std::move(out));
  }
  static submit_queue queue_of(const task& t) { return {t.owner, t.pinned ? t.upstream : ""}; }
  static timestamp task::* time_in(schedule s) {
    return s == schedule::expire   ? &task::deadline
           : s == schedule::remove ? &task::next_remove_at
                                   : &task::next_reconcile_at;
  }
  std::vector<task_ptr> scheduled(schedule s) const {
    return where(
        [s](const task& t) { return is_set(s == schedule::expire ? t.next_submit_at : t.*time_in(s)); });
  }
  static due_page page_of(std::vector<task_ptr> from, timestamp task::* when, timestamp until,
                          const schedule_cursor& after, std::int64_t limit) {
    std::ranges::sort(from, {}, [when](const task_ptr& t) { return std::pair((*t).*when, t->id); });
    due_page out;
    for (const task_ptr& t : from) {
      const schedule_cursor place{(*t).*when, t->id};
      if (place.at > until || std::tie(place.at, place.task_id) <= std::tie(after.at, after.task_id) ||
          out.rows == limit)
        continue;
      ++out.rows;
      out.tasks.push_back(t);
      out.last = place;
    }
    return out;
  }
  record* repeated(std::int64_t owner, const idempotency_record& r) {
    record* best = nullptr;
    for (record& k : kept_->records) {
      if (k.owner != owner || k.what.what != r.what || k.what.digest != r.digest || k.created_at < r.since)
        continue;
      if (r.what == idempotency_record::kind::key) return &k;
      const auto job = kept_->tasks.find(k.task_id);
      if (job != kept_->tasks.end() && is_set(job->second->deleted_at)) continue;
      if (k.retries < r.retries && (best == nullptr || k.retries >= best->retries)) best = &k;
    }
    return best;
  }
  static written_change outcome_of(const record& found, const idempotency_record& r) {
    written_change out;
    out.what = found.what.request == r.request ? written_change::outcome::repeated
                                               : written_change::outcome::other_request;
    out.task_id = found.task_id;
    return out;
  }
  account* account_of(std::int64_t id) {
    const auto found = std::ranges::find(kept_->accounts, id, &account::id);
    return found == kept_->accounts.end() ? nullptr : &*found;
  }
  template <class Change>
  void with_token(std::int64_t id, completion<token> done, Change how) {
    const auto found = std::ranges::find(kept_->tokens, id, &token::id);
    if (found == kept_->tokens.end() || found->revoked()) {
      return answer<token>(std::move(done), fail(errc::task_not_found,
                                                 "there is no such token, or it is revoked; `luma-relay "
                                                 "token list` shows them"));
    }
    how(*found);
    answer(std::move(done), *found);
  }

  std::shared_ptr<tables> kept_;
  store_hooks hooks_;
  task_counts counts_;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<store> open_memory_store(const std::string& path, store_hooks hooks) {
  return std::make_unique<memory_store>(tables_at(path), std::move(hooks));
}

void forget_memory_store(const std::string& path) {
  const std::lock_guard lock(all_mutex);
  all_tables.erase(path);
}

}  // namespace relay::test
