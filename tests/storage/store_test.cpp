// The contract of store.hpp, on the SQLite engine with and without its cache and on the one of the tests; and
// what SQLite's promises beside it.

#include "storage/store.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <latch>
#include <random>
#include <set>

#include "common/base/id.hpp"
#include "common/base/lru.hpp"
#include "common/families.hpp"
#include "storage/migrations.hpp"
#include "storage/sqlite/backup.hpp"
#include "storage/sqlite/db.hpp"
#include "storage/sqlite/group_commit.hpp"
#include "storage/sqlite/reads.hpp"
#include "storage/sqlite/sqlite_store.hpp"
#include "storage/sqlite/writes.hpp"
#include "tests/support/inbox.hpp"
#include "tests/support/luma.hpp"
#include "tests/support/memory_store.hpp"
#include "tests/support/opened_store.hpp"
#include "tests/support/temp_dir.hpp"

namespace relay {
namespace {

constexpr std::size_t room = 1'000'000'000;

enum class engine { sqlite_without_cache, sqlite, memory };

class store_test : public ::testing::TestWithParam<engine> {
 protected:
  store_test() { open(); }

  store_hooks hooks() {
    store_hooks hooks;
    hooks.post = [this](std::move_only_function<void()> f) { inbox_.post(std::move(f)); };
    hooks.saved = [this](const task_ptr& t) { saved_.push_back(*t); };
    hooks.warn = [this](const log_text& text) { warned_.push_back(text.text); };
    return hooks;
  }

  void open() {
    if (GetParam() == engine::memory) {
      store_ = test::open_memory_store(dir_.file("a.db"), hooks());
      return;
    }
    sqlite_options options;
    options.path = dir_.file("a.db");
    options.cache_bytes = GetParam() == engine::sqlite ? 3'000 : 0;
    options.queue_bytes = queue_bytes_;
    auto opened = open_sqlite_store(options, families(), hooks());
    ASSERT_TRUE(opened) << opened.error().log.text;
    store_ = std::move(*opened);
  }

  template <class... P, class... A>
  result<completed_t<P...>> get(void (store::*function)(P...), A... arguments) {
    return test::call(*store_, inbox_, function, std::move(arguments)...);
  }
  result<written_change> insert(task t, std::optional<idempotency_record> r) {
    return get(&store::write, change{nullptr, std::move(t), r});
  }
  result<task> insert(task t) {
    auto made = insert(std::move(t), std::nullopt);
    if (!made) return std::unexpected(std::move(made.error()));
    return *made->value;
  }
  // On top of what the task says its revision is.
  result<task> save(task t) {
    auto before = std::make_shared<task>(**get(&store::load, t.id));
    before->revision = t.revision;
    auto written = get(&store::write, change{std::move(before), std::move(t), std::nullopt});
    if (!written) return std::unexpected(std::move(written.error()));
    return *written->value;
  }
  account add_account(const std::string& name) {
    account a;
    a.name = name;
    a.created_at = at(1);
    auto made = get(&store::write_account, a, audit_ptr{});
    EXPECT_TRUE(made) << made.error().log.text;
    return made ? *made : account{};
  }
  token add_token(const account& of, const std::string& name) {
    token t;
    t.account = of.id;
    t.name = name;
    t.digest = sha256(of.name + "/" + name);
    t.hint = "hint";
    t.created_at = at(1);
    t.expires_at = at(100);
    auto made = get(&store::insert_token, t, audit_ptr{});
    EXPECT_TRUE(made) << made.error().log.text;
    return made ? *made : token{};
  }
  static timestamp at(int seconds) {
    return timestamp(std::chrono::hours(1000) + std::chrono::seconds(seconds));
  }

  task fresh(std::int64_t owner) {
    task t = test::luma_task();
    id_entropy random{};
    random[9] = static_cast<unsigned char>(++made_);
    t.id = make_id(at(made_), random);
    t.owner = owner;
    t.request = R"({"prompt":"abc"})";
    t.created_at = t.updated_at = at(made_);
    t.next_submit_at = at(made_);
    t.deadline = at(made_ + 600);
    return t;
  }

  test::temp_dir dir_;
  test::inbox inbox_;
  std::vector<task> saved_;
  std::vector<std::string> warned_;
  std::size_t queue_bytes_ = 10'000'000;
  int made_ = 0;
  std::unique_ptr<store> store_;
};

std::string name_of_engine(engine e) {
  return e == engine::memory ? "memory" : e == engine::sqlite ? "sqlite_small_cache" : "sqlite_no_cache";
}
INSTANTIATE_TEST_SUITE_P(engines, store_test,
                         ::testing::Values(engine::sqlite_without_cache, engine::sqlite, engine::memory),
                         [](const auto& i) { return name_of_engine(i.param); });

// What only the engine on disk promises.
class sqlite_store_test : public store_test {};
INSTANTIATE_TEST_SUITE_P(engines, sqlite_store_test,
                         ::testing::Values(engine::sqlite_without_cache, engine::sqlite),
                         [](const auto& i) { return name_of_engine(i.param); });

TEST_P(store_test, every_field_comes_back) {
  const account owner = add_account("a");
  task t = fresh(owner.id);
  t.dialect = &luma::dialects::web_app;
  t.action = &luma::actions::image;
  t.request = "{\"prompt\":\"quote ' \\\" and \xe4\xb8\xad\"}";
  t.callback_url = "https://e.x/";
  t.pinned = true;
  t.upstream = "up";
  auto made = insert(t);
  ASSERT_TRUE(made) << made.error().log.text;
  EXPECT_EQ(made->row, 1);
  EXPECT_EQ(made->revision, 1);

  task u = *made;
  u.state = task_state::running;
  u.progress = 42;
  u.upstream_id = "u-1";
  u.reply = R"({"id":"u-1"})";
  u.fail_reason = "no";
  u.fail_status = 400;
  u.attempts = 1;
  u.misses = 2;
  u.not_found = 3;
  u.next_submit_at = never;
  u.next_poll_at = at(7);
  u.next_callback_at = at(8);
  u.next_reconcile_at = at(13);
  u.attempted_at = at(14);
  u.ambiguous_at = at(15);
  u.marker = "m";
  u.attempt_id = "a-1";
  u.submitter = "p-1";
  u.pending_callbacks = "rc";
  u.callbacks_done = 4;
  u.callback_attempts = 5;
  u.callback_stopped = true;
  u.callback_problem = "refused";
  u.deadline = at(9);
  u.started_at = at(10);
  u.finished_at = at(11);
  u.links_until = at(16);
  u.links_lost_at = at(17);
  u.updated_at = at(12);
  const auto saved = save(u);
  ASSERT_TRUE(saved) << saved.error().log.text;
  u.revision = 2;
  EXPECT_EQ(*saved, u);
  EXPECT_EQ(*get(&store::find, owner.id, t.id).value(), u);

  store_.reset();
  open();
  EXPECT_EQ(*get(&store::find, owner.id, t.id).value(), u) << "after a restart";
}

TEST_P(store_test, a_key_names_one_task) {
  const account owner = add_account("a");
  const account other = add_account("b");
  idempotency_record c;
  c.digest = sha256("key");
  c.request = sha256("request");
  const auto first = insert(fresh(owner.id), c);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->what, written_change::outcome::written);
  saved_.clear();
  const auto again = insert(fresh(owner.id), c);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->what, written_change::outcome::repeated);
  EXPECT_EQ(again->task_id, first->value->id);
  EXPECT_TRUE(saved_.empty()) << "nothing was inserted";
  EXPECT_EQ(get(&store::find_repeated, owner.id, c).value()->task_id, first->value->id);
  idempotency_record changed = c;
  changed.request = sha256("another");
  EXPECT_EQ(insert(fresh(owner.id), changed)->what, written_change::outcome::other_request);
  EXPECT_EQ(get(&store::find_repeated, owner.id, changed).value()->what,
            written_change::outcome::other_request);
  EXPECT_EQ(insert(fresh(other.id), c)->what, written_change::outcome::written)
      << "keys are each token's own";
  EXPECT_EQ(get(&store::list, owner.id, page_request{10, 0}, room)->tasks.size(), 1u);

  // Once it has been forgotten, it is free again.
  idempotency_record later = c;
  later.since = at(1000);
  EXPECT_FALSE(get(&store::find_repeated, owner.id, later).value());
  task newer = fresh(owner.id);
  newer.created_at = at(1001);
  EXPECT_EQ(insert(newer, later)->what, written_change::outcome::written);
  EXPECT_EQ(insert(fresh(owner.id), later)->task_id, newer.id);
  const auto purged = get(&store::purge_idempotency, at(1001), 10);
  EXPECT_EQ(purged.value(), 1) << "the other token's; the newer one stays";
  EXPECT_TRUE(get(&store::find_repeated, owner.id, later).value());
}

TEST_P(store_test, a_retry_of_an_sdk_is_the_job_it_repeats) {
  const account owner = add_account("a");
  idempotency_record c;
  c.what = idempotency_record::kind::retry;
  c.digest = c.request = sha256("request");
  const auto send = [&](int repeats, const char* body = "request") {
    idempotency_record one = c;
    one.digest = one.request = sha256(body);
    one.retries = repeats;
    return insert(fresh(owner.id), one).value();
  };
  const std::string a = send(0).value->id;
  const std::string b = send(0).value->id;
  EXPECT_NE(a, b) << "two first sends are two jobs";
  // Both are sent again: each finds one, and not the same.
  const std::string first = send(1).task_id;
  const std::string second = send(1).task_id;
  EXPECT_EQ((std::set{first, second}), (std::set{a, b}));
  EXPECT_EQ(send(3).what, written_change::outcome::repeated)
      << "a retry that never came is no reason to buy again";
  EXPECT_EQ(send(1, "another").what, written_change::outcome::written) << "its first send never came";
  idempotency_record late = c;
  late.retries = 9;
  late.since = at(5000);
  EXPECT_EQ(insert(fresh(owner.id), late)->what, written_change::outcome::written) << "too long ago";
}

// Who has deleted a job knew its id: what is sent again is another one.
TEST_P(store_test, a_retry_is_not_a_job_that_was_deleted) {
  const account owner = add_account("a");
  idempotency_record c;
  c.what = idempotency_record::kind::retry;
  c.digest = c.request = sha256("request");
  task gone = *insert(fresh(owner.id), c)->value;
  gone.deleted_at = at(1'000);
  ASSERT_TRUE(save(gone));
  idempotency_record again = c;
  again.retries = 1;
  EXPECT_FALSE(get(&store::find_repeated, owner.id, again)->has_value());
  EXPECT_EQ(insert(fresh(owner.id), again)->what, written_change::outcome::written);
}

TEST_P(store_test, what_is_to_be_deleted_at_its_upstream_has_a_schedule) {
  const account owner = add_account("a");
  task first = insert(fresh(owner.id)).value();
  task second = insert(fresh(owner.id)).value();
  EXPECT_FALSE(is_set(get(&store::next_due, schedule::remove).value()));
  for (task* t : {&first, &second}) {
    t->state = task_state::completed;
    t->upstream_id = "u-" + t->id;
    t->next_submit_at = never;
    t->finished_at = t->deleted_at = at(10);
  }
  first.next_remove_at = at(70);
  second.next_remove_at = at(60);
  ASSERT_TRUE(save(first));
  ASSERT_TRUE(save(second));
  EXPECT_EQ(get(&store::next_due, schedule::remove).value(), at(60));
  EXPECT_TRUE(get(&store::due, schedule::remove, at(59), schedule_cursor{}, 10)->tasks.empty());
  const auto due = get(&store::due, schedule::remove, at(70), schedule_cursor{}, 10).value();
  ASSERT_EQ(due.tasks.size(), 2u);
  EXPECT_EQ(due.tasks[0]->id, second.id);
  EXPECT_EQ(due.tasks[1]->next_remove_at, at(70));
  // Until then it is no old job that can be purged.
  EXPECT_EQ(get(&store::purge_tasks, at(1'000'000), 10).value(), 0);
  second = *get(&store::load, second.id).value();
  second.next_remove_at = never;
  ASSERT_TRUE(save(second));
  EXPECT_EQ(get(&store::purge_tasks, at(1'000'000), 10).value(), 1);
  EXPECT_EQ(get(&store::next_due, schedule::remove).value(), at(70));
}

TEST_P(store_test, lost_submissions_and_callbacks_have_schedules) {
  const account owner = add_account("a");
  task lost = insert(fresh(owner.id)).value();
  lost.state = task_state::submitting;
  lost.upstream = "up";
  lost.next_submit_at = never;
  lost.ambiguous_at = at(50);
  lost.next_reconcile_at = at(60);
  ASSERT_TRUE(save(lost));
  EXPECT_EQ(get(&store::next_due, schedule::reconcile).value(), at(60));
  EXPECT_TRUE(get(&store::due, schedule::reconcile, at(59), schedule_cursor{}, 10)->tasks.empty());
  EXPECT_EQ(get(&store::due, schedule::reconcile, at(60), schedule_cursor{}, 10)->tasks.at(0)->id, lost.id);
  EXPECT_EQ(store_->counts().ambiguous, 1);
  task_filter filter;
  filter.ambiguous = true;
  EXPECT_EQ(get(&store::browse, filter)->tasks.at(0)->id, lost.id);
  EXPECT_EQ(get(&store::open_at, "up").value(), std::vector{lost.id}) << "it may be running there";

  std::vector<std::string> undelivered;
  for (int i = 0; i < 3; ++i) {
    task t = insert(fresh(owner.id)).value();
    t.callback_url = "https://e.x/";
    t.state = task_state::completed;
    t.upstream = "up";
    t.upstream_id = "u-" + std::to_string(i);
    t.next_submit_at = never;
    t.pending_callbacks = "c";
    t.next_callback_at = at(70);
    ASSERT_TRUE(save(t));
    undelivered.push_back(t.id);
  }
  std::vector<std::string> seen;
  for (const pending_callback& c : get(&store::pending_callbacks).value()) {
    EXPECT_EQ(c.owner, 1);
    EXPECT_EQ(c.at, at(70));
    seen.push_back(c.task_id);
  }
  std::ranges::sort(seen);
  EXPECT_EQ(seen, undelivered);
  EXPECT_EQ(store_->counts().callbacks_pending, 3);
  const std::vector<std::string> some{"u-1", "u-9"};
  EXPECT_EQ(get(&store::known_jobs, "up", some, at(0)).value(), std::vector<std::string>{"u-1"});
  EXPECT_TRUE(get(&store::known_jobs, "up", some, at(1000))->empty());
  EXPECT_TRUE(get(&store::known_jobs, "other", some, at(0))->empty());
}

TEST_P(store_test, a_clock_that_was_set_back_leaves_nothing_too_far_ahead) {
  const account owner = add_account("a");
  task far = insert(fresh(owner.id)).value();
  far.state = task_state::queued;
  far.upstream = "up";
  far.next_submit_at = never;
  far.next_poll_at = far.deadline = at(100'000);
  ASSERT_TRUE(save(far));
  task near = insert(fresh(owner.id)).value();
  near.state = task_state::queued;
  near.upstream = "up";
  near.next_submit_at = never;
  near.next_poll_at = at(60);
  near.deadline = at(500);
  ASSERT_TRUE(save(near));
  schedule_limits l{};
  l.submit = l.poll = l.reconcile = l.callback = l.remove = milliseconds(60'000);
  l.submit_deadline = l.job_deadline = l.late_for = milliseconds(600'000);
  store_.reset();
  open();
  const auto moved = get(&store::rebase, at(50), l);
  EXPECT_EQ(moved.value(), 2) << "the poll and the deadline of one";
  EXPECT_EQ(get(&store::load, far.id).value()->next_poll_at, at(50));
  EXPECT_EQ(get(&store::load, far.id).value()->deadline, at(650));
  EXPECT_EQ(get(&store::load, near.id).value()->next_poll_at, at(60));
}

// Rule M11: a deadline counts only time in which a relay ran.
TEST_P(store_test, downtime_moves_deadlines) {
  const account owner = add_account("a");
  EXPECT_EQ(get(&store::resume, at(1'000)).value(), milliseconds(0)) << "the first start";
  task t = fresh(owner.id);
  t.deadline = at(1'100);
  t = insert(t).value();
  task ended = insert(fresh(owner.id)).value();
  ended.state = task_state::failed;
  ended.next_submit_at = never;
  ended.deadline = at(1'100);
  ended.finished_at = at(1'000);
  ended = save(ended).value();
  ASSERT_TRUE(get(&store::mark_alive, at(1'050)));
  store_.reset();
  open();
  EXPECT_EQ(get(&store::resume, at(2'050)).value(), milliseconds(1'000'000));
  EXPECT_EQ(get(&store::load, t.id).value()->deadline, at(2'100));
  EXPECT_EQ(get(&store::load, ended.id).value()->deadline, at(1'100));
  EXPECT_EQ(get(&store::resume, at(50)).value(), milliseconds(0)) << "the clock was set back";
  EXPECT_EQ(get(&store::load, t.id).value()->deadline, at(2'100));
  // And while it runs: what was read before cannot be saved over it.
  const task_ptr before = get(&store::load, t.id).value();
  EXPECT_EQ(get(&store::extend_deadlines, milliseconds(5'000)).value(), 1);
  EXPECT_EQ(get(&store::load, t.id).value()->deadline, at(2'105));
  task late = *before;
  late.misses = 1;
  const auto refused = get(&store::write, change{before, late, std::nullopt});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::conflict);
  EXPECT_EQ(get(&store::load, t.id).value()->deadline, at(2'105));
}

TEST_P(store_test, old_tasks_are_deleted_when_no_callback_is_pending) {
  const account owner = add_account("a");
  const auto ended = [&](int finished, const char* pending) {
    task t = insert(fresh(owner.id)).value();
    t.state = task_state::completed;
    t.next_submit_at = never;
    t.finished_at = at(finished);
    t.pending_callbacks = pending;
    t.next_callback_at = t.pending_callbacks.empty() ? never : at(finished);
    return save(t).value().id;
  };
  const std::string old = ended(100, ""), undelivered = ended(100, "c"), young = ended(300, "");
  const std::string open_one = insert(fresh(owner.id)).value().id;
  ASSERT_TRUE(*get(&store::find, owner.id, old));
  const auto purged = get(&store::purge_tasks, at(200), 10);
  EXPECT_EQ(purged.value(), 1);
  EXPECT_FALSE(*get(&store::find, owner.id, old)) << "not from memory either";
  for (const std::string& id : {undelivered, young, open_one}) EXPECT_TRUE(*get(&store::find, owner.id, id));
}

TEST_P(store_test, accounts) {
  account a;
  a.name = "a";
  a.note = "pays by the month";
  a.contact = "a@example.com";
  a.webhook = secret(std::string("\0x\xff", 3));
  a.created_at = at(1);
  const auto made = get(&store::write_account, a, audit_ptr{});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->revision, 1);
  EXPECT_EQ(get(&store::account_by_id, made->id).value(), *made);
  EXPECT_EQ(made->webhook, a.webhook);
  EXPECT_FALSE(get(&store::account_by_id, 99).value());
  const auto twice = get(&store::write_account, a, audit_ptr{});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, errc::conflict);
  EXPECT_NE(twice.error().log.text.find("already"), std::string::npos);

  account changed = *made;
  changed.enabled = false;
  changed.name = "b";
  changed.webhook = secret("new");
  const auto second = get(&store::write_account, changed, audit_ptr{});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->revision, 2);
  EXPECT_EQ(get(&store::account_by_id, made->id).value(), *second);
  const auto stale = get(&store::write_account, changed, audit_ptr{});
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().code, errc::conflict);
  EXPECT_NE(stale.error().log.text.find("changed meanwhile"), std::string::npos);
  ASSERT_TRUE(get(&store::write_account, a, audit_ptr{})) << "its name is free again";
  account taken = *second;
  taken.name = "a";
  EXPECT_EQ(get(&store::write_account, taken, audit_ptr{}).error().code, errc::conflict);
  EXPECT_EQ(get(&store::accounts)->size(), 2u);
  account nobody = *second;
  nobody.id = 99;
  EXPECT_EQ(get(&store::write_account, nobody, audit_ptr{}).error().code, errc::task_not_found);
}

TEST_P(store_test, what_is_known_of_an_upstream_is_there_after_a_restart) {
  EXPECT_TRUE(get(&store::lane_memories)->empty());
  lane_memory first{"luma", lane_mode::paused, 10, 20};
  const lane_memory second{"luma/second", lane_mode::open, 0, 7};
  ASSERT_TRUE(get(&store::keep_lane, first));
  ASSERT_TRUE(get(&store::keep_lane, second));
  first.mode = lane_mode::draining;
  first.at_once = 12;
  ASSERT_TRUE(get(&store::keep_lane, first));
  auto known = get(&store::lane_memories).value();
  std::ranges::sort(known, {}, &lane_memory::name);
  EXPECT_EQ(known, (std::vector{first, second}));
  store_.reset();
  open();
  EXPECT_EQ(get(&store::lane_memories)->size(), 2u);
}

TEST_P(store_test, a_foreign_task_is_as_absent_as_an_absent_one) {
  const account a = add_account("a");
  const account b = add_account("b");
  const task t = insert(fresh(a.id)).value();
  EXPECT_TRUE(get(&store::find, a.id, t.id).value());
  EXPECT_FALSE(get(&store::find, b.id, t.id).value());
  EXPECT_FALSE(get(&store::find, a.id, "nope").value());
  EXPECT_TRUE(get(&store::find_many, b.id, std::vector<std::string>{t.id}, room)->tasks.empty());
  EXPECT_TRUE(get(&store::list, b.id, page_request{10, 0}, room)->tasks.empty());
}

TEST_P(store_test, save_is_compare_and_set) {
  const account owner = add_account("a");
  const task t = insert(fresh(owner.id)).value();
  task first = t;
  first.state = task_state::queued;
  task second = t;
  second.state = task_state::failed;
  ASSERT_TRUE(save(first));
  const auto late = save(second);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, errc::conflict);
  EXPECT_EQ(get(&store::find, owner.id, t.id).value()->state, task_state::queued);
}

TEST_P(sqlite_store_test, a_request_cannot_be_changed_by_a_save) {
  const account owner = add_account("a");
  task t = insert(fresh(owner.id)).value();
  t.request = "{}";
  t.owner = 99;
  ASSERT_TRUE(save(t));
  store_.reset();
  open();
  EXPECT_EQ(get(&store::find, owner.id, t.id).value()->request, R"({"prompt":"abc"})");
}

TEST_P(sqlite_store_test, a_bad_write_does_not_fail_its_neighbours) {
  const account owner = add_account("a");
  const task taken = insert(fresh(owner.id)).value();
  task twin = fresh(owner.id);
  twin.id = taken.id;  // breaks UNIQUE
  // All in the queue at once: most likely one transaction.
  std::vector<int> ends;
  for (const task& t : {fresh(owner.id), twin, fresh(owner.id)}) {
    store_->write({nullptr, t, std::nullopt}, [&ends](result<written_change> r) {
      ends.push_back(r ? 0 : static_cast<int>(r.error().code));
    });
  }
  while (ends.size() < 3) inbox_.run_one();
  EXPECT_EQ(ends, (std::vector<int>{0, static_cast<int>(errc::conflict), 0}));
  EXPECT_EQ(get(&store::list, owner.id, page_request{10, 0}, room)->tasks.size(), 3u);
}

TEST_P(store_test, a_task_of_no_account_is_refused) {
  EXPECT_FALSE(insert(fresh(4711)));
}

TEST_P(store_test, many_in_the_order_of_the_request) {
  const account owner = add_account("a");
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(insert(fresh(owner.id)).value().id);
  const auto found =
      get(&store::find_many, owner.id, std::vector<std::string>{ids[3], "nope", ids[0], ids[4]}, room);
  EXPECT_EQ(found->looked_up, 4u);
  ASSERT_EQ(found->tasks.size(), 3u);
  EXPECT_EQ(found->tasks[0]->id, ids[3]);
  EXPECT_EQ(found->tasks[1]->id, ids[0]);
  EXPECT_EQ(found->tasks[2]->id, ids[4]);
}

// Rule R1: nobody reads more than there is room for, and always some of it.
TEST_P(store_test, many_are_read_as_there_is_room) {
  const account owner = add_account("a");
  std::vector<std::string> ids;
  for (int i = 0; i < 6; ++i) {
    task t = fresh(owner.id);
    t.request = "{\"prompt\":\"" + std::string(10'000, 'x') + "\"}";
    ids.push_back(insert(t).value().id);
  }
  std::vector<std::string> seen;
  for (std::size_t at = 0; at < ids.size();) {
    const std::vector<std::string> rest(ids.begin() + static_cast<std::ptrdiff_t>(at), ids.end());
    const auto some = get(&store::find_many, owner.id, rest, std::size_t{15'000});
    ASSERT_TRUE(some);
    ASSERT_GT(some->looked_up, 0u);
    if (GetParam() != engine::sqlite) EXPECT_LE(some->looked_up, 2u);  // what is in memory costs nothing
    for (const task_ptr& t : some->tasks) seen.push_back(t->id);
    at += some->looked_up;
  }
  EXPECT_EQ(seen, ids);
  const auto page = get(&store::list, owner.id, page_request{5, 0}, std::size_t{15'000});
  EXPECT_EQ(page->ids.size(), 5u);
  EXPECT_TRUE(page->has_more);
  EXPECT_EQ(page->tasks.size(), 2u);
  EXPECT_EQ(page->ids[0], ids[5]);
  EXPECT_EQ(page->tasks[1]->id, ids[4]);
  EXPECT_EQ(get(&store::list, owner.id, page_request{5, 0}, std::size_t{0})->tasks.size(), 1u);
}

TEST_P(store_test, pages_are_newest_first) {
  const account owner = add_account("a");
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(insert(fresh(owner.id)).value().id);
  const auto first = get(&store::list, owner.id, page_request{2, 0}, room);
  EXPECT_TRUE(first->has_more);
  EXPECT_EQ(first->tasks[0]->id, ids[4]);
  EXPECT_EQ(first->tasks[1]->id, ids[3]);
  const auto last = get(&store::list, owner.id, page_request{2, 4}, room);
  EXPECT_FALSE(last->has_more);
  ASSERT_EQ(last->tasks.size(), 1u);
  EXPECT_EQ(last->tasks[0]->id, ids[0]);
  EXPECT_TRUE(get(&store::list, owner.id, page_request{2, 5}, room)->tasks.empty());
}

// Whatever was read before, and whatever has come and gone since, a page is what an offset says.
TEST_P(store_test, deep_pages_are_exact) {
  const account owner = add_account("a");
  const account other = add_account("b");
  std::vector<std::string> ids;  // the oldest first
  const auto add = [&](int n) {
    for (int i = 0; i < n; ++i) {
      task t = fresh(owner.id);
      t.state = task_state::completed;
      t.next_submit_at = never;
      t.finished_at = at(1);
      ids.push_back(insert(t).value().id);
      if (i % 3 == 0) ASSERT_TRUE(insert(fresh(other.id)));
    }
  };
  std::minstd_rand random(7);
  add(700);
  for (int round = 0; round < 120; ++round) {
    const auto offset = static_cast<std::int64_t>(random() % (ids.size() + 20));
    const auto limit = static_cast<std::int64_t>(1 + random() % 30);
    const auto page = get(&store::list, owner.id, page_request{limit, offset}, room);
    ASSERT_TRUE(page);
    std::vector<std::string> want;
    for (std::int64_t i = offset; i < offset + limit && i < std::ssize(ids); ++i)
      want.push_back(ids[ids.size() - 1 - static_cast<std::size_t>(i)]);
    ASSERT_EQ(page->ids, want) << "round " << round << ", offset " << offset << ", limit " << limit;
    EXPECT_EQ(page->has_more, offset + limit < std::ssize(ids));
    EXPECT_EQ(page->tasks.size(), page->ids.size());
    if (round % 7 == 0) add(static_cast<int>(random() % 5));
    if (round % 40 == 39) {  // the oldest go
      ASSERT_EQ(get(&store::purge_tasks, timestamp(std::chrono::hours(1'000'000)), std::int64_t{13}).value(),
                13);
      ids.erase(ids.begin(), ids.begin() + 13);
    }
  }
}

TEST_P(store_test, schedules) {
  const account owner = add_account("a");
  task a = insert(fresh(owner.id)).value();
  task b = insert(fresh(owner.id)).value();
  const submit_queue own{owner.id, ""};
  EXPECT_EQ(get(&store::submit_queues).value(), std::vector{own});
  EXPECT_TRUE(get(&store::polled)->empty());
  EXPECT_EQ(get(&store::pending, own, schedule_cursor{}, 10)->tasks.size(), 2u);
  const auto first = get(&store::pending, own, schedule_cursor{}, 1).value();
  EXPECT_EQ(first.rows, 1);
  EXPECT_EQ(first.tasks.at(0)->id, a.id);
  EXPECT_EQ(get(&store::pending, own, first.last, 1)->tasks.at(0)->id, b.id);
  const schedule_cursor end = get(&store::pending, own, first.last, 1)->last;
  EXPECT_EQ(get(&store::pending, own, end, 1)->rows, 0);
  // What waits has a deadline.
  EXPECT_EQ(get(&store::next_due, schedule::expire).value(), a.deadline);
  EXPECT_EQ(get(&store::due, schedule::expire, a.deadline, schedule_cursor{}, 10)->tasks.size(), 1u);
  const auto late = get(&store::due, schedule::expire, b.deadline, schedule_cursor{}, 1).value();
  EXPECT_EQ(late.tasks.at(0)->id, a.id);
  EXPECT_EQ(get(&store::due, schedule::expire, b.deadline, late.last, 1)->tasks.at(0)->id, b.id);
  a.state = task_state::queued;
  a.upstream = "up";
  a.next_submit_at = never;
  a.next_poll_at = at(100);
  ASSERT_TRUE(save(a));
  EXPECT_EQ(get(&store::next_due, schedule::expire).value(), b.deadline);
  EXPECT_EQ(get(&store::pending, own, schedule_cursor{}, 10)->rows, 1);
  const auto polled = get(&store::polled).value();
  ASSERT_EQ(polled.size(), 1u);
  EXPECT_EQ(polled[0].task_id, a.id);
  EXPECT_EQ(polled[0].owner, owner.id);
  EXPECT_EQ(polled[0].upstream, "up");
  EXPECT_EQ(polled[0].at, at(100));
  EXPECT_EQ(get(&store::open_at, "up").value(), std::vector{a.id});
  EXPECT_TRUE(get(&store::open_at, "other").value().empty());
  EXPECT_EQ(store_->counts()[task_state::pending], 1);
  EXPECT_EQ(store_->counts()[task_state::queued], 1);
}

TEST_P(store_test, what_waits_is_a_queue_for_each_customer_and_place) {
  const account a = add_account("a");
  const account b = add_account("b");
  const auto add = [&](const account& owner, const std::string& to) {
    task t = fresh(owner.id);
    t.pinned = !to.empty();
    t.upstream = to;
    return insert(t).value();
  };
  const task pinned = add(b, "up");
  add(b, "");
  add(b, "down");
  add(a, "up");
  task tried = fresh(a.id);  // it was at an upstream, and may go to any other
  tried.upstream = "up";
  insert(tried);
  const std::vector<submit_queue> expected{
      {a.id, ""}, {a.id, "up"}, {b.id, ""}, {b.id, "down"}, {b.id, "up"}};
  EXPECT_EQ(get(&store::submit_queues).value(), expected);
  for (const submit_queue& q : expected)
    EXPECT_EQ(get(&store::pending, q, schedule_cursor{}, 10)->rows, 1) << q.pinned_to;
  EXPECT_EQ(get(&store::pending, expected.back(), schedule_cursor{}, 10)->tasks.at(0)->id, pinned.id);
}

TEST_P(store_test, the_loop_hears_of_every_save) {
  const account owner = add_account("a");
  task t = insert(fresh(owner.id)).value();
  t.state = task_state::queued;
  ASSERT_TRUE(save(t));
  ASSERT_EQ(saved_.size(), 2u);
  EXPECT_EQ(saved_[0].revision, 1);
  EXPECT_EQ(saved_[1].revision, 2);
  EXPECT_EQ(saved_[1].state, task_state::queued);
}

TEST_P(store_test, tokens) {
  const account one = add_account("a"), other = add_account("b");
  const token a = add_token(one, "laptop");
  EXPECT_EQ(get(&store::tokens)->at(0), a);
  token again = a;
  again.digest = sha256("other");
  const auto twice = get(&store::insert_token, again, audit_ptr{});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, errc::conflict);
  EXPECT_NE(twice.error().log.text.find("already"), std::string::npos);
  EXPECT_NE(add_token(other, "laptop").id, a.id) << "a name is its account's own";
  token nobodys = again;
  nobodys.account = 99;
  EXPECT_FALSE(get(&store::insert_token, nobodys, audit_ptr{}));

  const auto gone = get(&store::revoke_token, a.id, at(5), audit_ptr{});
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->revoked_at, at(5));
  const auto twice_gone = get(&store::revoke_token, a.id, at(6), audit_ptr{});
  ASSERT_FALSE(twice_gone);
  EXPECT_NE(twice_gone.error().log.text.find("token list"), std::string::npos);
  const auto next = get(&store::insert_token, again, audit_ptr{});
  ASSERT_TRUE(next) << "the name is free again";
  const auto rotated =
      get(&store::rotate_token, next->id, new_secret{sha256("new"), "last", at(50)}, audit_ptr{});
  ASSERT_TRUE(rotated);
  EXPECT_EQ(rotated->old_digest, again.digest);
  EXPECT_EQ(get(&store::tokens)->back(), *rotated);
  EXPECT_FALSE(get(&store::rotate_token, a.id, new_secret{sha256("x"), "x", at(50)}, audit_ptr{}))
      << "it is revoked";
}

TEST_P(store_test, an_operator_finds_what_a_token_created) {
  const account owner = add_account("a");
  const token first = add_token(owner, "one"), second = add_token(owner, "two");
  const auto add = [&](const token& with, task_state state) {
    task t = fresh(owner.id);
    t.token = with.id;
    t.state = state;
    if (state == task_state::pending) t.held_at = at(3);
    return insert(t).value().id;
  };
  const std::string held = add(first, task_state::pending);
  const std::string queued = add(second, task_state::queued);
  add(first, task_state::queued);
  task_filter f;
  f.token = first.id;
  EXPECT_EQ(get(&store::browse, f)->tasks.size(), 2u);
  f.held = true;
  ASSERT_EQ(get(&store::browse, f)->tasks.size(), 1u);
  EXPECT_EQ(get(&store::browse, f)->tasks.at(0)->id, held);
  f.token = second.id;
  EXPECT_TRUE(get(&store::browse, f)->tasks.empty());
  f.held = false;
  f.state = task_state::queued;
  ASSERT_EQ(get(&store::browse, f)->tasks.size(), 1u);
  EXPECT_EQ(get(&store::browse, f)->tasks.at(0)->id, queued);
  EXPECT_EQ(get(&store::browse, f)->tasks.at(0)->token, second.id);
}

TEST_P(sqlite_store_test, a_second_process_is_refused) {
  store_hooks hooks;
  hooks.post = [](std::move_only_function<void()>) {};
  sqlite_options options;
  options.path = dir_.file("a.db");
  const auto second = open_sqlite_store(options, families(), std::move(hooks));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, errc::conflict);
  EXPECT_NE(second.error().log.text.find("another luma-relay"), std::string::npos);
}

TEST_P(sqlite_store_test, after_close_writes_are_refused_and_nothing_is_lost) {
  const account owner = add_account("a");
  store_->write({nullptr, fresh(owner.id), std::nullopt}, [](result<written_change>) {});
  store_->close();
  const auto end = insert(fresh(owner.id), std::nullopt);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, errc::overloaded);
  store_.reset();
  open();
  EXPECT_EQ(get(&store::list, owner.id, page_request{10, 0}, room)->tasks.size(), 1u)
      << "what was queued before close() was written";
}

TEST_P(sqlite_store_test, a_full_queue_refuses_at_once) {
  const account owner = add_account("a");
  store_.reset();
  queue_bytes_ = 20'000;
  open();
  // A transaction of ours holds the database: the store's own writes wait behind it.
  auto other = sqlite::db::open(dir_.file("a.db"), sqlite::role::writer);
  ASSERT_TRUE(other);
  ASSERT_TRUE(other->run("BEGIN IMMEDIATE"));
  int refused = 0;
  int ended = 0;
  for (int i = 0; i < 200; ++i) {
    store_->write({nullptr, fresh(owner.id), std::nullopt}, [&](result<written_change> r) {
      ++ended;
      if (!r) {
        EXPECT_EQ(r.error().code, errc::overloaded);
        EXPECT_GT(r.error().retry_after_seconds, 0);
        ++refused;
      }
    });
  }
  ASSERT_TRUE(other->run("ROLLBACK"));
  while (ended < 200) inbox_.run_one();
  EXPECT_GT(refused, 0);
  EXPECT_EQ(get(&store::list, owner.id, page_request{1000, 0}, room)->tasks.size(),
            static_cast<std::size_t>(200 - refused));
}

// Near and far pages, those that are remembered too.
TEST_P(store_test, what_its_client_deleted_is_on_no_page) {
  const account owner = add_account("a");
  std::vector<task> all;
  for (int i = 0; i < 300; ++i) all.push_back(insert(fresh(owner.id)).value());
  const auto ids = [&](std::int64_t offset) {
    return get(&store::list, owner.id, page_request{3, offset}, room)->ids;
  };
  const auto id = [&](std::size_t from_newest) { return all[299 - from_newest].id; };
  EXPECT_EQ(ids(0), (std::vector{id(0), id(1), id(2)}));
  EXPECT_EQ(ids(200), (std::vector{id(200), id(201), id(202)}));
  task gone = all[298];
  gone.deleted_at = at(1'000);
  ASSERT_TRUE(save(gone));
  EXPECT_EQ(ids(0), (std::vector{id(0), id(2), id(3)}));
  EXPECT_EQ(ids(200), (std::vector{id(201), id(202), id(203)}));
  EXPECT_FALSE(*get(&store::find, owner.id, gone.id));
  EXPECT_EQ(get(&store::find_many, owner.id, std::vector{all[0].id, gone.id}, room)->tasks.size(), 1u);
  EXPECT_EQ(get(&store::load, gone.id).value()->deleted_at, at(1'000)) << "the relay itself goes on with it";
  store_.reset();
  open();
  EXPECT_EQ(ids(0), (std::vector{id(0), id(2), id(3)}));
  EXPECT_FALSE(*get(&store::find, owner.id, gone.id));
}

// Rule H7: what waits for a reader is bounded in bytes.
TEST_P(sqlite_store_test, too_many_reads_are_refused) {
  const std::vector<std::string> ids(500'000, "01936e4f-a1b2-7000-8000-000000000001");
  const auto refused = get(&store::find_many, 1, ids, room);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::overloaded);
  EXPECT_GT(refused.error().retry_after_seconds, 0);
  const std::vector<std::string> few(1'000, ids[0]);
  EXPECT_TRUE(get(&store::find_many, 1, few, room));
}

// A batch is read on another thread: what changes or goes meanwhile does not come back into memory as it was.
TEST_P(sqlite_store_test, a_batch_that_comes_late_brings_nothing_old_back) {
  const account owner = add_account("a");
  task ended = insert(fresh(owner.id)).value();
  ended.state = task_state::completed;
  ended.next_submit_at = never;
  ended.finished_at = at(100);
  ended = save(ended).value();
  task open = insert(fresh(owner.id)).value();
  const auto make_room = [&] {
    for (int i = 0; i < 10; ++i) insert(fresh(owner.id));
  };
  make_room();
  // What is asked for a second time would come into memory.
  ASSERT_TRUE(get(&store::find_many, owner.id, std::vector{ended.id, open.id}, room));
  ASSERT_FALSE(store_->in_memory(ended.id));
  ASSERT_FALSE(store_->in_memory(open.id));

  std::size_t found = 0;
  store_->find_many(owner.id, {ended.id, open.id}, room,
                    [&](result<some_tasks> r) { found = r.value().tasks.size(); });
  auto late = inbox_.take_one();
  EXPECT_EQ(get(&store::purge_tasks, at(200), 10).value(), 1);
  open.updated_at = at(300);
  open = save(open).value();
  make_room();
  late();

  EXPECT_EQ(found, 2u) << "both stood there when the batch was read";
  EXPECT_FALSE(store_->in_memory(ended.id));
  EXPECT_FALSE(*get(&store::find, owner.id, ended.id));
  EXPECT_EQ(get(&store::find, owner.id, open.id).value()->revision, open.revision);
}

// A client that goes through all its jobs drives out nobody else's.
TEST_P(sqlite_store_test, what_is_asked_for_once_drives_nothing_out_of_memory) {
  const account owner = add_account("a");
  std::vector<std::string> old;
  for (int i = 0; i < 40; ++i) old.push_back(insert(fresh(owner.id)).value().id);
  const std::string recent = insert(fresh(owner.id)).value().id;
  if (GetParam() == engine::sqlite_without_cache) {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(get(&store::find, owner.id, recent));
    EXPECT_FALSE(store_->in_memory(recent))
        << "without memory nothing is kept, however often it is asked for";
    return;
  }
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(get(&store::find, owner.id, old[static_cast<std::size_t>(i)]).value()->id,
              old[static_cast<std::size_t>(i)]);
  ASSERT_EQ(
      get(&store::find_many, owner.id, std::vector(old.begin() + 20, old.end() - 5), room)->tasks.size(),
      15u);
  EXPECT_TRUE(store_->in_memory(recent));
  EXPECT_FALSE(store_->in_memory(old[0]));
  ASSERT_TRUE(get(&store::find, owner.id, old[0]));
  EXPECT_TRUE(store_->in_memory(old[0])) << "it was asked for again";
  ASSERT_TRUE(get(&store::find_many, owner.id, std::vector{old[20]}, room));
  EXPECT_TRUE(store_->in_memory(old[20])) << "it was asked for again";
}

// Reads of one turn of the loop are one read transaction; what was written meanwhile is not hidden by it.
TEST_P(sqlite_store_test, a_read_after_a_write_of_the_same_turn_sees_it) {
  const account owner = add_account("a");
  task t = insert(fresh(owner.id)).value();
  const task other = insert(fresh(owner.id)).value();
  for (int i = 0; i < 10; ++i) insert(fresh(owner.id));  // neither is in memory
  auto before = get(&store::load, t.id).value();
  std::vector<std::int64_t> seen;
  task next = *before;
  next.progress = 7;
  const auto see = [&](result<task_ptr> r) { seen.push_back(r.value()->revision); };
  store_->find(owner.id, other.id, see);  // the transaction begins
  auto end_of_turn = inbox_.take_one();
  auto other_read = inbox_.take_one();
  store_->write(change{before, next, std::nullopt}, [&](result<written_change> written) {
    ASSERT_TRUE(written);
    store_->find(owner.id, t.id, see);
  });
  inbox_.take_one()();
  other_read();
  end_of_turn();
  while (seen.size() < 2) inbox_.run_one();
  EXPECT_EQ(seen, (std::vector<std::int64_t>{other.revision, before->revision + 1}));
}

// A first page that was read before a task came must not be remembered as the newest.
TEST_P(sqlite_store_test, a_list_that_comes_late_hides_no_newer_task) {
  const account owner = add_account("a");
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(insert(fresh(owner.id)));
  bool done = false;
  store_->list(owner.id, page_request{2, 0}, room, [&done](result<task_page> r) { done = r.has_value(); });
  auto late = inbox_.take_one();  // read already, and comes after the next write
  const std::string newest = insert(fresh(owner.id)).value().id;
  late();
  while (!done) inbox_.run_one();  // its tasks, if they are not in memory
  const auto page = get(&store::list, owner.id, page_request{2, 0}, room);
  ASSERT_EQ(page->ids.size(), 2u);
  EXPECT_EQ(page->ids[0], newest);
  EXPECT_TRUE(page->has_more);
}

TEST_P(sqlite_store_test, a_newer_schema_is_not_touched) {
  store_.reset();
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(dir_.file("a.db").c_str(), &raw), SQLITE_OK);
  sqlite3_exec(raw, "PRAGMA user_version=999", nullptr, nullptr, nullptr);
  sqlite3_close(raw);
  store_hooks hooks;
  hooks.post = [](std::move_only_function<void()>) {};
  sqlite_options options;
  options.path = dir_.file("a.db");
  const auto opened = open_sqlite_store(options, families(), std::move(hooks));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().log.text.find("newer luma-relay"), std::string::npos) << opened.error().log.text;
}

TEST_P(sqlite_store_test, a_damaged_database_is_not_served) {
  const account owner = add_account("a");
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(insert(fresh(owner.id)));
  store_.reset();
  {
    std::fstream f(dir_.file("a.db"), std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(4096 * 4);
    const std::string noise(4096 * 2, '\x5a');
    f.write(noise.data(), static_cast<std::streamsize>(noise.size()));
  }
  store_hooks hooks;
  hooks.post = [](std::move_only_function<void()>) {};
  sqlite_options options;
  options.path = dir_.file("a.db");
  const auto opened = open_sqlite_store(options, families(), std::move(hooks));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().log.text.find("restore a backup"), std::string::npos) << opened.error().log.text;
}

// A write that fills the disk makes SQLite roll back the whole transaction. What stood in the same queue must
// not be on disk, as it is reported to have failed.
TEST(group_commit, a_full_disk_fails_the_whole_transaction_and_nothing_of_it_stays) {
  test::temp_dir dir;
  auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
  ASSERT_TRUE(d);
  ASSERT_TRUE(d->run("CREATE TABLE t(x) STRICT") || d->run("CREATE TABLE t(x ANY) STRICT"));
  ASSERT_TRUE(d->run("PRAGMA max_page_count=50"));
  ASSERT_TRUE(d->run("PRAGMA cache_spill=1"));
  struct sql final : sqlite::write {
    sql(sqlite::db& on, std::string text, std::vector<bool>& e)
        : db(on), sql_text(std::move(text)), ends(e) {}
    result<void> apply() override { return db.run(sql_text.c_str()); }
    std::size_t bytes() const override { return sql_text.size(); }
    void finish(result<void> outcome) override { ends.push_back(outcome.has_value()); }
    sqlite::db& db;
    std::string sql_text;
    std::vector<bool>& ends;
  };
  test::inbox in;
  store_hooks hooks;
  hooks.post = [&in](std::move_only_function<void()> f) { in.post(std::move(f)); };
  std::vector<bool> ends;
  sqlite::group_commit commits(*d, hooks, {}, 10'000);
  // The first holds the store thread until all of them are queued.
  std::latch queued(1);
  struct hold final : sqlite::write {
    explicit hold(std::latch& l) : until(l) {}
    result<void> apply() override {
      until.wait();
      return {};
    }
    std::size_t bytes() const override { return 1; }
    void finish(result<void>) override {}
    std::latch& until;
  };
  commits.push(std::make_unique<hold>(queued));
  commits.push(std::make_unique<sql>(*d, "INSERT INTO t VALUES('before')", ends));
  commits.push(std::make_unique<sql>(*d, "INSERT INTO t VALUES(zeroblob(1000000))", ends));
  commits.push(std::make_unique<sql>(*d, "INSERT INTO t VALUES('after')", ends));
  queued.count_down();
  while (ends.size() < 3) in.run_one();
  commits.push(std::make_unique<sql>(*d, "INSERT INTO t VALUES('later')", ends));
  while (ends.size() < 4) in.run_one();
  commits.stop();
  auto rows = d->prepare("SELECT group_concat(x) FROM t");
  ASSERT_TRUE(rows.step());
  std::string expected;
  for (const auto& [name, i] : {std::pair{"before", 0}, {"after", 2}, {"later", 3}}) {
    if (ends[static_cast<std::size_t>(i)]) expected += (expected.empty() ? "" : ",") + std::string(name);
  }
  EXPECT_FALSE(ends[1]);
  EXPECT_TRUE(ends[3]) << "it recovers by itself";
  EXPECT_EQ(rows.text(0), expected) << "what was said to have failed is there, or the other way round";
}

// What is read again and again, and what the writer does, must not grow with the table.
TEST(queries, none_reads_the_whole_table) {
  test::temp_dir dir;
  auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
  ASSERT_TRUE(d);
  ASSERT_TRUE(sqlite::migrate(*d));
  auto connection = sqlite::db::open(dir.file("a.db"), sqlite::role::reader);
  ASSERT_TRUE(connection);
  sqlite3* const reading = connection->handle();
  const sqlite::reads reads(std::move(*connection), families(), [](const log_text&) {});
  const sqlite::write_statements writes(*d);
  std::vector<std::string> queries;
  for (sqlite3* handle : {d->handle(), reading}) {
    for (sqlite3_stmt* s = sqlite3_next_stmt(handle, nullptr); s != nullptr;
         s = sqlite3_next_stmt(handle, s)) {
      const std::string sql = sqlite3_sql(s);
      const bool for_the_operator = sql.find("upstream_id=?1) LIMIT") != std::string::npos;
      if (!for_the_operator) queries.push_back(sql);
    }
  }
  ASSERT_GT(queries.size(), 35u);
  // What operators search for goes by the number of rows, but where few rows have an index.
  std::vector<task_filter> filters(5);
  filters[0].held = true;
  filters[1].ambiguous = true;
  filters[2].undelivered = true;
  filters[3].state = task_state::submitting;
  filters[4].held = filters[4].oldest_first = true;
  for (std::size_t i = 0; i < filters.size(); ++i) {
    std::vector<std::variant<std::int64_t, std::string>> values;
    const std::string sql = sqlite::select_tasks(sqlite::browse_sql(filters[i], values));
    auto s = d->prepare(("EXPLAIN QUERY PLAN " + sql).c_str());
    ASSERT_TRUE(s.step().value());
    const std::string step(s.text(3));
    EXPECT_TRUE(step.contains(" INDEX task_")) << step << " for filter " << i;
    if (filters[i].oldest_first) EXPECT_FALSE(s.step().value()) << "it is sorted: " << s.text(3);
  }
  for (const std::string& sql : queries) {
    auto s = d->prepare(("EXPLAIN QUERY PLAN " + sql).c_str());
    for (;;) {
      const auto row = s.step();
      ASSERT_TRUE(row);
      if (!*row) break;
      const std::string step(s.text(3));
      const bool whole_table = step.starts_with("SCAN task") && step.find("USING") == std::string::npos;
      // The equal creates of one client within ten minutes are sorted; those before them are not even read.
      const bool sorts =
          step.find("TEMP B-TREE") != std::string::npos && sql.find("kind='retry'") == std::string::npos;
      EXPECT_FALSE(whole_table || sorts) << step << " in " << sql;
      if (sql.find("kind='retry' AND retries") != std::string::npos && step.starts_with("SEARCH idempotency"))
        EXPECT_NE(step.find("created_at>?"), std::string::npos) << step << " in " << sql;
    }
  }
}

// A row whose names this program does not know is never served as something else, and holds up nobody.
TEST(unknown_names, are_errors_that_say_so) {
  test::temp_dir dir;
  const std::string good = "01936e4f-a1b2-7000-8000-000000000001",
                    odd = "01936e4f-a1b2-7000-8000-000000000002";
  {
    test::opened_store s(dir.file("a.db"));
    account owner;
    owner.name = "a";
    ASSERT_TRUE(s.get(&store::write_account, owner, audit_ptr{}));
    for (const std::string& id : {good, odd}) {
      task t = test::luma_task();
      t.id = id;
      t.owner = 1;
      t.request = "{}";
      t.next_submit_at = timestamp(std::chrono::seconds(5));
      ASSERT_TRUE(s.get(&store::write, change{nullptr, t, std::nullopt}));
    }
  }
  for (const char* column : {"action", "dialect", "status", "platform", "pending_callbacks"}) {
    const std::string sql =
        "UPDATE task SET " + std::string(column) + "='levitation' WHERE task_id='" + odd + "'";
    const std::string back =
        "UPDATE task SET action='generations', dialect='dream-machine', status='pending', platform='luma', "
        "pending_callbacks=''";
    {
      auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
      ASSERT_TRUE(d->run(sql.c_str()));
    }
    {
      test::opened_store s(dir.file("a.db"));
      const auto found = s.get(&store::find, 1, odd);
      ASSERT_FALSE(found) << column;
      EXPECT_NE(found.error().log.text.find(column == std::string("platform") ? "generations" : "levitation"),
                std::string::npos)
          << found.error().log.text;
      EXPECT_NE(found.error().log.text.find(odd), std::string::npos);
      EXPECT_FALSE(s.get(&store::list, 1, page_request{10, 0}, room)) << "a page without it would be a lie";
      const auto due = s.get(&store::pending, submit_queue{1, ""}, schedule_cursor{}, 10);
      ASSERT_TRUE(due);
      EXPECT_EQ(due->rows, 2);
      ASSERT_EQ(due->tasks.size(), 1u) << "the others go on";
      EXPECT_EQ(due->tasks.at(0)->id, good);
      const std::vector<std::string> both{good, odd};
      EXPECT_FALSE(s.get(&store::find_many, 1, both, room));
      ASSERT_EQ(s.warned.size(), 1u) << "and the operator hears of it, once";
      EXPECT_TRUE(s.get(&store::pending, submit_queue{1, ""}, schedule_cursor{}, 10));
      EXPECT_EQ(s.warned.size(), 1u);
    }
    auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
    ASSERT_TRUE(d->run(back.c_str()));
  }
}

std::string text_of_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Makes a database as an earlier release left it: its schema and rows as SQL.
void make_old(const std::string& path, const std::string& name) {
  auto d = sqlite::db::open(path, sqlite::role::writer);
  ASSERT_TRUE(d);
  const std::string sql = text_of_file(std::string(SCHEMA_DIR) + "/" + name);
  ASSERT_FALSE(sql.empty());
  const auto made = d->run(sql.c_str());
  ASSERT_TRUE(made) << made.error().log.text;
}

std::string why_not_opened(const std::string& path) {
  store_hooks hooks;
  hooks.post = [](std::move_only_function<void()>) {};
  sqlite_options options;
  options.path = path;
  const auto opened = open_sqlite_store(options, families(), std::move(hooks));
  EXPECT_FALSE(opened);
  return opened ? "" : opened.error().log.text;
}

TEST(migrations, a_database_of_the_first_release_is_brought_up_to_date) {
  test::temp_dir dir;
  make_old(dir.file("a.db"), "schema_1.sql");
  test::opened_store s(dir.file("a.db"));
  const task_ptr t = s.get(&store::load, std::string("t-1")).value();
  ASSERT_TRUE(t);
  EXPECT_EQ(t->state, task_state::queued);
  EXPECT_EQ(t->upstream_id, "u-1");
  EXPECT_EQ(t->callback_url, "https://e.x/");
  EXPECT_EQ(t->revision, 3);
  EXPECT_EQ(t->action, &luma::actions::generations);
  EXPECT_EQ(t->dialect, &luma::dialects::web_app);
  EXPECT_TRUE(t->marker.empty() && t->pending_callbacks.empty());
  EXPECT_EQ(s.get(&store::polled)->size(), 1u);
  EXPECT_EQ(s.get(&store::accounts)->at(0).webhook.reveal().size(), 32u) << "every account can sign";
}

// Written by the program of the release before, jobs in every state: they are what they were, and go on.
// Since the second release all of these states are known.
class old_database : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(migrations, old_database, ::testing::Values("schema_2", "schema_3"),
                         [](const auto& i) { return i.param; });

TEST_P(old_database, goes_on_in_every_state) {
  test::temp_dir dir;
  make_old(dir.file("a.db"), std::string(GetParam()) + ".sql");
  // Also one that is large: its tables are not those that a start looks at.
  sqlite_options large;
  large.whole_check_bytes = 0;
  test::opened_store s(dir.file("a.db"), large);
  const auto load = [&](int n) {
    return s.get(&store::load, "01936e4f-a1b2-7000-8000-00000000000" + std::to_string(n)).value();
  };
  const struct {
    int n;
    task_state state;
    const action& kind;
    const char* pending;
  } table[] = {{1, task_state::pending, luma::actions::generations, ""},
               {2, task_state::submitting, luma::actions::video, ""},
               {3, task_state::submitting, luma::actions::video, ""},  // ambiguous
               {4, task_state::queued, luma::actions::image, ""},
               {5, task_state::running, luma::actions::generations, "r"},
               {6, task_state::completed, luma::actions::generations, "rc"},
               {7, task_state::failed, luma::actions::generations, "f"},
               {8, task_state::failed, luma::actions::generations, ""}};  // a late success is awaited
  for (const auto& row : table) {
    const task_ptr t = load(row.n);
    ASSERT_TRUE(t) << row.n;
    EXPECT_EQ(t->state, row.state) << row.n;
    EXPECT_EQ(t->action, &row.kind) << row.n;
    EXPECT_EQ(t->pending_callbacks, row.pending) << row.n;
    EXPECT_EQ(t->row, row.n);
    EXPECT_EQ(t->request, R"({"prompt":"job )" + std::to_string(row.n) + "\"}");
    EXPECT_EQ(t->callbacks_done, row.n == 6 ? 4 : 0);
    EXPECT_EQ(token_of(*t), t->owner) << "the account's token of then";
  }
  EXPECT_TRUE(is_ambiguous(*load(3)));
  EXPECT_EQ(s.kept->counts()[task_state::running], 1);
  EXPECT_EQ(s.kept->counts()[task_state::submitting], 2);
  EXPECT_EQ(s.kept->counts().ambiguous, 1);
  EXPECT_EQ(s.kept->counts().callbacks_pending, 3);
  // The schedules are what they were.
  const timestamp later(std::chrono::hours(1'000'000));
  EXPECT_EQ(s.get(&store::due, schedule::expire, later, schedule_cursor{}, 10)->tasks.size(), 1u);
  EXPECT_EQ(s.get(&store::submit_queues)->size(), 1u);
  EXPECT_EQ(s.get(&store::due, schedule::reconcile, later, schedule_cursor{}, 10)->tasks.size(), 1u);
  EXPECT_EQ(s.get(&store::polled)->size(), 3u);
  EXPECT_EQ(s.get(&store::pending_callbacks)->size(), 3u);
  const auto left = s.get(&store::interrupted, std::string("this process"), 10);
  ASSERT_EQ(left->size(), 1u) << "its process has ended";
  EXPECT_EQ(left->at(0)->id, load(2)->id);
  // What was asked before is recognised still.
  idempotency_record key;
  key.digest.fill(0x11);
  key.request.fill(0x22);
  EXPECT_EQ(s.get(&store::find_repeated, 1, key).value()->task_id, load(4)->id);
  idempotency_record retry = key;
  retry.what = idempotency_record::kind::retry;
  retry.digest.fill(0x33);
  retry.request.fill(0x33);
  retry.retries = 3;
  EXPECT_EQ(s.get(&store::find_repeated, 1, retry).value()->task_id, load(5)->id);
  // And they can be changed.
  for (int n = 1; n <= 8; ++n) {
    const task_ptr before = load(n);
    task after = *before;
    after.misses = 7;
    ASSERT_TRUE(s.get(&store::write, change{before, after, std::nullopt})) << n;
    EXPECT_EQ(load(n)->misses, 7);
  }
}

// Customers were tokens: each becomes an account of the same number, to which its jobs belong.
TEST(migrations, each_token_becomes_an_account) {
  test::temp_dir dir;
  make_old(dir.file("a.db"), "schema_3.sql");
  {
    auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
    const auto done = d->run(
        "DELETE FROM idempotency; DELETE FROM task; DELETE FROM token;"
        "INSERT INTO token(id,name,digest,hint,created_at,revoked_at,webhook_secret) VALUES"
        "(1,'alice',CAST(zeroblob(31)||x'01' AS BLOB),'aaaa',10,0,x'aa'),(2,'bob',CAST(zeroblob(31)||x'02' "
        "AS BLOB),'bbbb',20,25,x'bb'),"
        "(3,'bob',CAST(zeroblob(31)||x'03' AS BLOB),'cccc',30,35,x'cc'),(4,'alice',CAST(zeroblob(31)||x'04' "
        "AS BLOB),'dddd',5,7,x'dd')");
    ASSERT_TRUE(done) << done.error().log.text;
  }
  test::opened_store s(dir.file("a.db"));
  const auto accounts = s.get(&store::accounts);
  ASSERT_EQ(accounts->size(), 4u);
  const struct {
    const char* name;
    bool enabled;
    const char* webhook;
  } table[] = {
      {"alice", true, "\xaa"}, {"bob~2", false, "\xbb"}, {"bob", false, "\xcc"}, {"alice~4", false, "\xdd"}};
  const auto tokens = s.get(&store::tokens);
  ASSERT_EQ(tokens->size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const account& a = accounts->at(i);
    const token& t = tokens->at(i);
    EXPECT_EQ(a.id, static_cast<std::int64_t>(i) + 1);
    EXPECT_EQ(a.name, table[i].name);
    EXPECT_EQ(a.enabled, table[i].enabled) << a.name;
    EXPECT_EQ(a.webhook, secret(table[i].webhook)) << a.name;
    EXPECT_EQ(t.id, a.id);
    EXPECT_EQ(t.account, a.id);
    EXPECT_EQ(t.revoked(), !a.enabled) << a.name;
    EXPECT_EQ(t.digest[31], i + 1);
    EXPECT_FALSE(is_set(t.expires_at));
  }
  EXPECT_EQ(tokens->at(1).name, "bob") << "as it was called";
}

// A row that refers to nothing is never made to fit.
TEST(migrations, a_job_of_nobody_stops_the_change_to_accounts) {
  test::temp_dir dir;
  make_old(dir.file("a.db"), "schema_3.sql");
  {
    auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
    ASSERT_TRUE(d->run("PRAGMA foreign_keys=OFF; UPDATE task SET owner=99 WHERE id=1"));
  }
  const std::string why = why_not_opened(dir.file("a.db"));
  EXPECT_NE(why.find("a row of the table task refers to one of the table account"), std::string::npos) << why;
  auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::reader);
  EXPECT_EQ(sqlite::schema_version(*d).value(), 12);
}

TEST(migrations, a_copy_of_the_old_database_is_kept) {
  test::temp_dir dir;
  make_old(dir.file("a.db"), "schema_2.sql");
  {
    test::opened_store s(dir.file("a.db"));
  }
  auto copy = sqlite::db::open(dir.file("a.db.schema-2"), sqlite::role::reader);
  ASSERT_TRUE(copy);
  EXPECT_EQ(sqlite::schema_version(*copy).value(), 2);
  auto rows = copy->prepare("SELECT count(*) FROM task WHERE status='dreaming'");
  ASSERT_TRUE(rows.step());
  EXPECT_EQ(rows.integer(0), 1);
  {
    test::opened_store s(dir.file("a.db"));
  }
  EXPECT_NE(::access(dir.file("a.db.schema-3").c_str(), F_OK), 0) << "none when nothing is migrated";
}

// Without its copy nothing is changed.
TEST(migrations, one_that_fails_says_why_in_sqlites_words) {
  test::temp_dir dir;
  make_old(dir.file("a.db"), "schema_3.sql");
  {
    auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
    ASSERT_TRUE(d->run("CREATE TABLE process (something TEXT)"));
  }
  const std::string why = why_not_opened(dir.file("a.db"));
  EXPECT_NE(why.find("migration 4"), std::string::npos) << why;
  EXPECT_NE(why.find("table process already exists"), std::string::npos) << why;
  auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::reader);
  EXPECT_EQ(sqlite::schema_version(*d).value(), 3);
}

TEST(migrations, are_not_begun_when_no_copy_can_be_kept) {
  test::temp_dir dir;
  make_old(dir.file("a.db"), "schema_2.sql");
  std::filesystem::create_directory(dir.file("a.db.schema-2.unfinished"));
  std::ofstream(dir.file("a.db.schema-2.unfinished/in the way")) << "x";
  const std::string why = why_not_opened(dir.file("a.db"));
  EXPECT_NE(why.find("nothing was changed"), std::string::npos) << why;
  auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::reader);
  EXPECT_EQ(sqlite::schema_version(*d).value(), 2);
}

TEST(backup, is_a_whole_database_of_its_own) {
  test::temp_dir dir;
  {
    test::opened_store s(dir.file("a.db"));
    account owner;
    owner.name = "a";
    ASSERT_TRUE(s.get(&store::write_account, owner, audit_ptr{}));
    for (int i = 0; i < 100; ++i) {
      task t = test::luma_task();
      t.id = "t-" + std::to_string(i);
      t.owner = 1;
      t.request = std::string(2'000, 'x');
      ASSERT_TRUE(s.get(&store::write, change{nullptr, t, std::nullopt}));
    }
    // While the store is open, as another process would.
    ASSERT_TRUE(sqlite::backup(dir.file("a.db"), dir.file("copy.db")));
    EXPECT_EQ(sqlite::backup(dir.file("a.db"), dir.file("copy.db")).error().code, errc::conflict)
        << "never over another";
    EXPECT_FALSE(sqlite::backup(dir.file("nothing.db"), dir.file("x.db")));
  }
  test::opened_store copy(dir.file("copy.db"));
  EXPECT_EQ(copy.get(&store::list, 1, page_request{1'000, 0}, room)->tasks.size(), 100u);
}

TEST(store_pragmas, a_commit_survives_a_power_cut) {
  test::temp_dir dir;
  auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
  ASSERT_TRUE(d);
  const auto value = [&](const char* sql) {
    auto s = d->prepare(sql);
    EXPECT_TRUE(s.step());
    return std::string(s.text(0));
  };
  EXPECT_EQ(value("PRAGMA journal_mode"), "wal");
  EXPECT_EQ(value("PRAGMA synchronous"), "2");  // FULL
  EXPECT_EQ(value("PRAGMA trusted_schema"), "0");
  EXPECT_EQ(value("PRAGMA wal_autocheckpoint"), "0");
}

TEST(lru, keeps_the_newest_within_its_bytes) {
  constexpr std::size_t one = 100 + 1 + lru<int>::overhead;
  lru<int> cache(2 * one);
  cache.put("a", 1, 100);
  cache.put("b", 2, 100);
  EXPECT_NE(cache.find("a"), nullptr);  // now b is the oldest
  cache.put("c", 3, 100);
  EXPECT_EQ(cache.find("b"), nullptr);
  cache.put("a", 4, 100);
  EXPECT_EQ(*cache.find("a"), 4);
  EXPECT_EQ(*cache.find("c"), 3);
  EXPECT_EQ(cache.bytes(), 2 * one);
  cache.put("c", 5, 150);
  EXPECT_EQ(cache.find("a"), nullptr) << "what grows pushes others out";
  EXPECT_EQ(cache.bytes(), one + 50);
  cache.put("d", 6, 10 * one);
  EXPECT_EQ(cache.find("d"), nullptr) << "larger than the whole: not kept";
  EXPECT_EQ(*cache.find("c"), 5) << "and nothing goes for it";
  cache.erase("c");
  EXPECT_EQ(cache.bytes(), 0u);
  lru<int> nothing(0);
  nothing.put("a", 1, 1);
  EXPECT_EQ(nothing.find("a"), nullptr);
}

}  // namespace
}  // namespace relay
