// The contract of store.hpp, on the SQLite engine; and what the engine promises beside it.

#include "storage/store.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <fstream>
#include <latch>
#include <set>

#include "common/base/id.hpp"
#include "common/base/lru.hpp"
#include "storage/migrations.hpp"
#include "storage/sqlite/backup.hpp"
#include "storage/sqlite/db.hpp"
#include "storage/sqlite/group_commit.hpp"
#include "storage/sqlite/reads.hpp"
#include "storage/sqlite/sqlite_store.hpp"
#include "storage/sqlite/writes.hpp"
#include "tests/support/inbox.hpp"
#include "tests/support/temp_dir.hpp"

namespace relay {
namespace {

class store_test : public ::testing::TestWithParam<std::size_t> {
 protected:
  store_test() { open(); }

  void open() {
    store_hooks hooks;
    hooks.post = [this](std::move_only_function<void()> f) { inbox_.post(std::move(f)); };
    hooks.saved = [this](const task_ptr& t) { saved_.push_back(*t); };
    hooks.warn = [this](const log_text& text) { warned_.push_back(text.text); };
    sqlite_options options;
    options.path = dir_.file("a.db");
    options.cache_tasks = GetParam();
    options.queue_limit = queue_limit_;
    auto opened = open_sqlite_store(options, std::move(hooks));
    ASSERT_TRUE(opened) << opened.error().log.text;
    store_ = std::move(*opened);
  }

  template <class T, class Start>
  result<T> wait(Start start) {
    std::optional<result<T>> out;
    start(written<T>([&out](result<T> r) { out = std::move(r); }));
    while (!out) inbox_.run_one();
    return std::move(*out);
  }
  result<inserted> insert(task t, std::optional<claim> c) {
    return wait<inserted>(
        [&](written<inserted> done) { store_->insert(std::move(t), std::move(c), std::move(done)); });
  }
  result<task> insert(task t) {
    auto made = insert(std::move(t), std::nullopt);
    if (!made) return std::unexpected(std::move(made.error()));
    return std::move(made->value);
  }
  result<task> save(task t) {
    return wait<task>([&](written<task> done) { store_->save(std::move(t), std::move(done)); });
  }
  token add_token(const std::string& name) {
    token t;
    t.name = name;
    t.digest = sha256(name);
    t.hint = "hint";
    t.created_at = at(1);
    auto made = wait<token>([&](written<token> done) { store_->insert_token(t, std::move(done)); });
    EXPECT_TRUE(made) << made.error().log.text;
    return made ? *made : token{};
  }
  static timestamp at(int seconds) {
    return timestamp(std::chrono::hours(1000) + std::chrono::seconds(seconds));
  }

  task fresh(std::int64_t owner) {
    task t;
    id_entropy random{};
    random[9] = static_cast<unsigned char>(++made_);
    t.id = make_task_id(at(made_), random);
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
  std::size_t queue_limit_ = 1000;
  int made_ = 0;
  std::unique_ptr<store> store_;
};

INSTANTIATE_TEST_SUITE_P(with_and_without_cache, store_test, ::testing::Values(0, 3),
                         [](const auto& i) { return i.param == 0 ? "no_cache" : "cache_of_3"; });

TEST_P(store_test, every_field_comes_back) {
  const token owner = add_token("a");
  task t = fresh(owner.id);
  t.dialect = dialect_id::luma;
  t.asked_at = endpoint::image;
  t.request = "{\"prompt\":\"quote ' \\\" and \xe4\xb8\xad\"}";
  t.callback_url = "https://e.x/";
  t.pinned = true;
  t.upstream = "up";
  auto made = insert(t);
  ASSERT_TRUE(made) << made.error().log.text;
  EXPECT_EQ(made->row, 1);
  EXPECT_EQ(made->revision, 1);

  task u = *made;
  u.state = task_state::dreaming;
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
  u.owed = "dc";
  u.callbacks_done = 4;
  u.callback_attempts = 5;
  u.callback_stopped = true;
  u.callback_problem = "refused";
  u.deadline = at(9);
  u.started_at = at(10);
  u.finished_at = at(11);
  u.updated_at = at(12);
  const auto saved = save(u);
  ASSERT_TRUE(saved) << saved.error().log.text;
  u.revision = 2;
  EXPECT_EQ(*saved, u);
  EXPECT_EQ(*store_->find(owner.id, t.id).value(), u);

  store_.reset();
  open();
  EXPECT_EQ(*store_->find(owner.id, t.id).value(), u) << "after a restart";
}

TEST_P(store_test, a_key_names_one_task) {
  const token owner = add_token("a");
  const token other = add_token("b");
  claim c;
  c.digest = sha256("key");
  c.request = sha256("request");
  const auto first = insert(fresh(owner.id), c);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->what, inserted::outcome::fresh);
  saved_.clear();
  const auto again = insert(fresh(owner.id), c);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->what, inserted::outcome::repeated);
  EXPECT_EQ(again->task_id, first->value.id);
  EXPECT_TRUE(saved_.empty()) << "nothing was inserted";
  EXPECT_EQ(store_->claimed(owner.id, c).value()->task_id, first->value.id);
  claim changed = c;
  changed.request = sha256("another");
  EXPECT_EQ(insert(fresh(owner.id), changed)->what, inserted::outcome::other_request);
  EXPECT_EQ(store_->claimed(owner.id, changed).value()->what, inserted::outcome::other_request);
  EXPECT_EQ(insert(fresh(other.id), c)->what, inserted::outcome::fresh) << "keys are each token's own";
  EXPECT_EQ(store_->list(owner.id, 10, 0)->tasks.size(), 1u);

  // Once it has been forgotten, it is free again.
  claim later = c;
  later.since = at(1000);
  EXPECT_FALSE(store_->claimed(owner.id, later).value());
  task newer = fresh(owner.id);
  newer.created_at = at(1001);
  EXPECT_EQ(insert(newer, later)->what, inserted::outcome::fresh);
  EXPECT_EQ(insert(fresh(owner.id), later)->task_id, newer.id);
  const auto purged = wait<std::int64_t>(
      [&](written<std::int64_t> done) { store_->purge_claims(at(1001), 10, std::move(done)); });
  EXPECT_EQ(purged.value(), 1) << "the other token's; the newer one stays";
  EXPECT_TRUE(store_->claimed(owner.id, later).value());
}

TEST_P(store_test, a_retry_of_an_sdk_is_the_job_it_repeats) {
  const token owner = add_token("a");
  claim c;
  c.what = claim::kind::repeat;
  c.digest = c.request = sha256("request");
  const auto send = [&](int repeats, const char* body = "request") {
    claim one = c;
    one.digest = one.request = sha256(body);
    one.repeats = repeats;
    return insert(fresh(owner.id), one).value();
  };
  const std::string a = send(0).value.id;
  const std::string b = send(0).value.id;
  EXPECT_NE(a, b) << "two first sends are two jobs";
  // Both are sent again: each finds one, and not the same.
  const std::string first = send(1).task_id;
  const std::string second = send(1).task_id;
  EXPECT_EQ((std::set{first, second}), (std::set{a, b}));
  EXPECT_EQ(send(3).what, inserted::outcome::repeated) << "a retry that never came is no reason to buy again";
  EXPECT_EQ(send(1, "another").what, inserted::outcome::fresh) << "its first send never came";
  claim late = c;
  late.repeats = 9;
  late.since = at(5000);
  EXPECT_EQ(insert(fresh(owner.id), late)->what, inserted::outcome::fresh) << "too long ago";
}

TEST_P(store_test, lost_submissions_and_callbacks_have_schedules) {
  const token owner = add_token("a");
  task lost = insert(fresh(owner.id)).value();
  lost.state = task_state::submitting;
  lost.upstream = "up";
  lost.next_submit_at = never;
  lost.ambiguous_at = at(50);
  lost.next_reconcile_at = at(60);
  ASSERT_TRUE(save(lost));
  EXPECT_EQ(store_->next_due(schedule::reconcile).value(), at(60));
  EXPECT_TRUE(store_->due(schedule::reconcile, at(59), 10, 0)->empty());
  EXPECT_EQ(store_->due(schedule::reconcile, at(60), 10, 0)->at(0).id, lost.id);
  EXPECT_EQ(store_->count_ambiguous().value(), 1);
  task_filter filter;
  filter.ambiguous = true;
  EXPECT_EQ(store_->browse(filter)->at(0).id, lost.id);
  EXPECT_EQ(store_->open_at("up").value(), std::vector{lost.id}) << "it may be running there";

  std::vector<std::string> owing;
  for (int i = 0; i < 3; ++i) {
    task t = insert(fresh(owner.id)).value();
    t.callback_url = "https://e.x/";
    t.state = task_state::completed;
    t.upstream = "up";
    t.upstream_id = "u-" + std::to_string(i);
    t.next_submit_at = never;
    t.owed = "c";
    t.next_callback_at = at(70);
    ASSERT_TRUE(save(t));
    owing.push_back(t.id);
  }
  EXPECT_TRUE(store_->due_callbacks(at(69), {}, 10)->empty());
  std::vector<std::string> seen;
  callback_cursor place;
  for (;;) {
    const auto page = store_->due_callbacks(at(70), place, 2).value();
    for (const owed_callback& c : page) seen.push_back(c.task_id);
    if (page.empty()) break;
    place = page.back().place;
  }
  EXPECT_EQ(seen, owing);
  EXPECT_EQ(store_->next_callback(never).value(), at(70));
  EXPECT_EQ(store_->count_owed().value(), 3);
  EXPECT_TRUE(store_->holds("up", "u-1", at(0)).value());
  EXPECT_FALSE(store_->holds("up", "u-1", at(1000)).value());
  EXPECT_FALSE(store_->holds("other", "u-1", at(0)).value());
}

TEST_P(store_test, a_clock_that_was_set_back_leaves_nothing_too_far_ahead) {
  const token owner = add_token("a");
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
  l.submit = l.poll = l.reconcile = l.callback = milliseconds(60'000);
  l.submit_deadline = l.job_deadline = l.late_for = milliseconds(600'000);
  store_.reset();
  open();
  const auto moved =
      wait<std::int64_t>([&](written<std::int64_t> done) { store_->rebase(at(50), l, std::move(done)); });
  EXPECT_EQ(moved.value(), 2) << "the poll and the deadline of one";
  EXPECT_EQ(store_->load(far.id).value()->next_poll_at, at(50));
  EXPECT_EQ(store_->load(far.id).value()->deadline, at(650));
  EXPECT_EQ(store_->load(near.id).value()->next_poll_at, at(60));
}

TEST_P(store_test, old_tasks_are_deleted_when_nothing_is_owed_on_them) {
  const token owner = add_token("a");
  const auto ended = [&](int finished, const char* owed) {
    task t = insert(fresh(owner.id)).value();
    t.state = task_state::completed;
    t.next_submit_at = never;
    t.finished_at = at(finished);
    t.owed = owed;
    t.next_callback_at = t.owed.empty() ? never : at(finished);
    return save(t).value().id;
  };
  const std::string old = ended(100, ""), owing = ended(100, "c"), young = ended(300, "");
  const std::string open_one = insert(fresh(owner.id)).value().id;
  ASSERT_TRUE(*store_->find(owner.id, old));
  const auto purged = wait<std::int64_t>(
      [&](written<std::int64_t> done) { store_->purge_tasks(at(200), 10, std::move(done)); });
  EXPECT_EQ(purged.value(), 1);
  EXPECT_FALSE(*store_->find(owner.id, old)) << "not from memory either";
  for (const std::string& id : {owing, young, open_one}) EXPECT_TRUE(*store_->find(owner.id, id));
}

TEST_P(store_test, a_token_signs_with_its_secret) {
  token t;
  t.name = "a";
  t.digest = sha256("a");
  t.created_at = at(1);
  t.webhook = secret(std::string("\0x\xff", 3));
  const auto made = wait<token>([&](written<token> done) { store_->insert_token(t, std::move(done)); });
  ASSERT_TRUE(made);
  EXPECT_EQ(store_->token_by_id(made->id).value()->webhook, t.webhook);
  const auto changed = wait<token>(
      [&](written<token> done) { store_->set_webhook_secret("a", secret("new"), std::move(done)); });
  EXPECT_EQ(changed->webhook, secret("new"));
  EXPECT_EQ(store_->token_by_id(made->id).value()->webhook, secret("new"));
  EXPECT_FALSE(store_->token_by_id(99).value());
  EXPECT_FALSE(wait<token>(
      [&](written<token> done) { store_->set_webhook_secret("b", secret("new"), std::move(done)); }));
}

TEST_P(store_test, a_foreign_task_is_as_absent_as_an_absent_one) {
  const token a = add_token("a");
  const token b = add_token("b");
  const task t = insert(fresh(a.id)).value();
  EXPECT_TRUE(store_->find(a.id, t.id).value());
  EXPECT_FALSE(store_->find(b.id, t.id).value());
  EXPECT_FALSE(store_->find(a.id, "nope").value());
  EXPECT_TRUE(store_->find_many(b.id, {t.id})->empty());
  EXPECT_TRUE(store_->list(b.id, 10, 0)->tasks.empty());
}

TEST_P(store_test, save_is_compare_and_set) {
  const token owner = add_token("a");
  const task t = insert(fresh(owner.id)).value();
  task first = t;
  first.state = task_state::queued;
  task second = t;
  second.state = task_state::failed;
  ASSERT_TRUE(save(first));
  const auto late = save(second);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, errc::conflict);
  EXPECT_EQ(store_->find(owner.id, t.id).value()->state, task_state::queued);
}

TEST_P(store_test, what_was_asked_cannot_be_changed_by_a_save) {
  const token owner = add_token("a");
  task t = insert(fresh(owner.id)).value();
  t.request = "{}";
  t.owner = 99;
  ASSERT_TRUE(save(t));
  store_.reset();
  open();
  EXPECT_EQ(store_->find(owner.id, t.id).value()->request, R"({"prompt":"abc"})");
}

TEST_P(store_test, a_bad_write_does_not_fail_its_neighbours) {
  const token owner = add_token("a");
  const task taken = insert(fresh(owner.id)).value();
  task twin = fresh(owner.id);
  twin.id = taken.id;  // breaks UNIQUE
  // All in the queue at once: most likely one transaction.
  std::vector<int> ends;
  for (const task& t : {fresh(owner.id), twin, fresh(owner.id)}) {
    store_->insert(t, std::nullopt,
                   [&ends](result<inserted> r) { ends.push_back(r ? 0 : static_cast<int>(r.error().code)); });
  }
  while (ends.size() < 3) inbox_.run_one();
  EXPECT_EQ(ends, (std::vector<int>{0, static_cast<int>(errc::conflict), 0}));
  EXPECT_EQ(store_->list(owner.id, 10, 0)->tasks.size(), 3u);
}

TEST_P(store_test, a_task_of_no_token_is_refused) {
  EXPECT_FALSE(insert(fresh(4711)));
}

TEST_P(store_test, many_in_the_order_asked_for) {
  const token owner = add_token("a");
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(insert(fresh(owner.id)).value().id);
  const auto found = store_->find_many(owner.id, {ids[3], "nope", ids[0], ids[4]});
  ASSERT_EQ(found->size(), 3u);
  EXPECT_EQ((*found)[0]->id, ids[3]);
  EXPECT_EQ((*found)[1]->id, ids[0]);
  EXPECT_EQ((*found)[2]->id, ids[4]);
}

TEST_P(store_test, pages_are_newest_first) {
  const token owner = add_token("a");
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(insert(fresh(owner.id)).value().id);
  const auto first = store_->list(owner.id, 2, 0);
  EXPECT_TRUE(first->has_more);
  EXPECT_EQ(first->tasks[0].id, ids[4]);
  EXPECT_EQ(first->tasks[1].id, ids[3]);
  const auto last = store_->list(owner.id, 2, 4);
  EXPECT_FALSE(last->has_more);
  ASSERT_EQ(last->tasks.size(), 1u);
  EXPECT_EQ(last->tasks[0].id, ids[0]);
  EXPECT_TRUE(store_->list(owner.id, 2, 5)->tasks.empty());
}

TEST_P(store_test, schedules) {
  const token owner = add_token("a");
  task a = insert(fresh(owner.id)).value();
  task b = insert(fresh(owner.id)).value();
  EXPECT_EQ(store_->next_due(schedule::submit).value(), a.next_submit_at);
  EXPECT_EQ(store_->next_poll("up", never).value(), never);
  EXPECT_EQ(store_->due(schedule::submit, a.next_submit_at, 10, 0)->size(), 1u);
  EXPECT_EQ(store_->due(schedule::submit, b.next_submit_at, 10, 0)->size(), 2u);
  EXPECT_EQ(store_->due(schedule::submit, b.next_submit_at, 1, 0)->at(0).id, a.id);
  EXPECT_EQ(store_->due(schedule::submit, b.next_submit_at, 1, 1)->at(0).id, b.id);
  a.state = task_state::queued;
  a.upstream = "up";
  a.next_submit_at = never;
  a.next_poll_at = at(100);
  ASSERT_TRUE(save(a));
  EXPECT_EQ(store_->next_due(schedule::submit).value(), b.next_submit_at);
  EXPECT_EQ(store_->next_poll("up", never).value(), at(100));
  EXPECT_EQ(store_->next_poll("up", at(100)).value(), never);
  EXPECT_TRUE(store_->due_polls("up", at(99), 10)->empty());
  EXPECT_TRUE(store_->due_polls("other", at(100), 10)->empty());
  EXPECT_EQ(store_->due_polls("up", at(100), 10).value(), std::vector{a.id});
  EXPECT_EQ(store_->in_state(task_state::queued, 10)->size(), 1u);
  EXPECT_EQ(store_->open_at("up").value(), std::vector{a.id});
  EXPECT_TRUE(store_->open_at("other").value().empty());
  std::int64_t total = 0;
  const auto counts = store_->count_by_state();
  for (const state_count& n : *counts) total += n.tasks;
  EXPECT_EQ(total, 2);
}

TEST_P(store_test, the_loop_hears_of_every_save) {
  const token owner = add_token("a");
  task t = insert(fresh(owner.id)).value();
  t.state = task_state::queued;
  ASSERT_TRUE(save(t));
  ASSERT_EQ(saved_.size(), 2u);
  EXPECT_EQ(saved_[0].revision, 1);
  EXPECT_EQ(saved_[1].revision, 2);
  EXPECT_EQ(saved_[1].state, task_state::queued);
}

TEST_P(store_test, tokens) {
  const token a = add_token("a");
  EXPECT_EQ(store_->tokens()->at(0), a);
  token again = a;
  again.digest = sha256("other");
  const auto twice = wait<token>([&](written<token> done) { store_->insert_token(again, std::move(done)); });
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, errc::conflict);
  EXPECT_NE(twice.error().log.text.find("already"), std::string::npos);

  const auto gone =
      wait<token>([&](written<token> done) { store_->revoke_token("a", at(5), std::move(done)); });
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->revoked_at, at(5));
  const auto twice_gone =
      wait<token>([&](written<token> done) { store_->revoke_token("a", at(6), std::move(done)); });
  ASSERT_FALSE(twice_gone);
  EXPECT_NE(twice_gone.error().log.text.find("token list"), std::string::npos);
  EXPECT_TRUE(wait<token>([&](written<token> done) { store_->insert_token(again, std::move(done)); }))
      << "the name is free again";
}

TEST_P(store_test, a_second_process_is_refused) {
  store_hooks hooks;
  hooks.post = [](std::move_only_function<void()>) {};
  sqlite_options options;
  options.path = dir_.file("a.db");
  const auto second = open_sqlite_store(options, std::move(hooks));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, errc::conflict);
  EXPECT_NE(second.error().log.text.find("another luma-relay"), std::string::npos);
}

TEST_P(store_test, after_close_writes_are_refused_and_nothing_is_lost) {
  const token owner = add_token("a");
  store_->insert(fresh(owner.id), std::nullopt, [](result<inserted>) {});
  store_->close();
  std::optional<result<inserted>> end;
  store_->insert(fresh(owner.id), std::nullopt, [&end](result<inserted> r) { end = std::move(r); });
  while (!end) inbox_.run_one();
  ASSERT_FALSE(*end);
  EXPECT_EQ(end->error().code, errc::overloaded);
  store_.reset();
  open();
  EXPECT_EQ(store_->list(owner.id, 10, 0)->tasks.size(), 1u) << "what was queued before close() was written";
}

TEST_P(store_test, a_full_queue_refuses_at_once) {
  const token owner = add_token("a");
  store_.reset();
  queue_limit_ = 16;
  open();
  // A transaction of ours holds the database: the store's own writes wait behind it.
  auto other = sqlite::db::open(dir_.file("a.db"), sqlite::role::writer);
  ASSERT_TRUE(other);
  ASSERT_TRUE(other->run("BEGIN IMMEDIATE"));
  int refused = 0;
  int ended = 0;
  for (int i = 0; i < 200; ++i) {
    store_->insert(fresh(owner.id), std::nullopt, [&](result<inserted> r) {
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
  EXPECT_EQ(store_->list(owner.id, 1000, 0)->tasks.size(), static_cast<std::size_t>(200 - refused));
}

TEST_P(store_test, a_newer_schema_is_not_touched) {
  store_.reset();
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(dir_.file("a.db").c_str(), &raw), SQLITE_OK);
  sqlite3_exec(raw, "PRAGMA user_version=999", nullptr, nullptr, nullptr);
  sqlite3_close(raw);
  store_hooks hooks;
  hooks.post = [](std::move_only_function<void()>) {};
  sqlite_options options;
  options.path = dir_.file("a.db");
  const auto opened = open_sqlite_store(options, std::move(hooks));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().log.text.find("newer luma-relay"), std::string::npos) << opened.error().log.text;
}

TEST_P(store_test, a_damaged_database_is_not_served) {
  const token owner = add_token("a");
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
  const auto opened = open_sqlite_store(options, std::move(hooks));
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
    void finish(result<void> outcome) override { ends.push_back(outcome.has_value()); }
    sqlite::db& db;
    std::string sql_text;
    std::vector<bool>& ends;
  };
  test::inbox in;
  store_hooks hooks;
  hooks.post = [&in](std::move_only_function<void()> f) { in.post(std::move(f)); };
  std::vector<bool> ends;
  sqlite::group_commit commits(*d, hooks, 100);
  // The first holds the store thread until all of them are queued.
  std::latch queued(1);
  struct hold final : sqlite::write {
    explicit hold(std::latch& l) : until(l) {}
    result<void> apply() override {
      until.wait();
      return {};
    }
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
  const sqlite::read_statements reads(*d);
  const sqlite::write_statements writes(*d);
  std::vector<std::string> queries;
  for (sqlite3_stmt* s = sqlite3_next_stmt(d->handle(), nullptr); s != nullptr;
       s = sqlite3_next_stmt(d->handle(), s)) {
    const std::string sql = sqlite3_sql(s);
    const bool for_the_operator = sql.find("?1='' OR status") != std::string::npos;
    if (!for_the_operator) queries.push_back(sql);
  }
  ASSERT_GT(queries.size(), 30u);
  for (const std::string& sql : queries) {
    auto s = d->prepare(("EXPLAIN QUERY PLAN " + sql).c_str());
    for (;;) {
      const auto row = s.step();
      ASSERT_TRUE(row);
      if (!*row) break;
      const std::string step(s.text(3));
      const bool whole_table = step.starts_with("SCAN task") && step.find("USING") == std::string::npos;
      EXPECT_FALSE(whole_table || step.find("TEMP B-TREE") != std::string::npos) << step << " in " << sql;
    }
  }
}

TEST(migrations, a_database_of_the_first_release_is_brought_up_to_date) {
  test::temp_dir dir;
  {
    auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
    ASSERT_TRUE(d);
    ASSERT_TRUE(d->run(migrations().front().sql));
    ASSERT_TRUE(
        d->run("PRAGMA user_version=1;"
               "INSERT INTO token(name,digest,hint,created_at) VALUES('a',zeroblob(32),'h',1);"
               "INSERT INTO task VALUES(1,'t-1',1,'luma','generations','luma','LUMA_VIDEO','queued',10,'{}',"
               "'https://e.x/','up',0,'u-1','{}','',0,1,0,0,0,5,0,9,1,2,0,1,2,3)"));
  }
  sqlite_options options;
  options.path = dir.file("a.db");
  store_hooks hooks;
  hooks.post = [](std::move_only_function<void()>) {};
  auto opened = open_sqlite_store(options, std::move(hooks));
  ASSERT_TRUE(opened) << opened.error().log.text;
  const task_ptr t = (*opened)->load("t-1").value();
  ASSERT_TRUE(t);
  EXPECT_EQ(t->state, task_state::queued);
  EXPECT_EQ(t->upstream_id, "u-1");
  EXPECT_EQ(t->callback_url, "https://e.x/");
  EXPECT_EQ(t->revision, 3);
  EXPECT_TRUE(t->marker.empty() && t->owed.empty());
  EXPECT_EQ((*opened)->due_polls("up", timestamp(std::chrono::microseconds(5)), 10)->size(), 1u);
  EXPECT_EQ((*opened)->tokens()->at(0).webhook.reveal().size(), 32u) << "every token can sign";
}

TEST(backup, is_a_whole_database_of_its_own) {
  test::temp_dir dir;
  sqlite_options options;
  options.path = dir.file("a.db");
  test::inbox in;
  store_hooks hooks;
  hooks.post = [&in](std::move_only_function<void()> f) { in.post(std::move(f)); };
  auto opened = open_sqlite_store(options, std::move(hooks));
  ASSERT_TRUE(opened);
  store& s = **opened;
  int ended = 0;
  token owner;
  owner.name = "a";
  owner.created_at = timestamp(std::chrono::seconds(1));
  s.insert_token(owner, [&](result<token> r) { ended += r.has_value(); });
  for (int i = 0; i < 100; ++i) {
    task t;
    t.id = "t-" + std::to_string(i);
    t.owner = 1;
    t.request = std::string(2'000, 'x');
    s.insert(t, std::nullopt, [&](result<inserted> r) { ended += r.has_value(); });
  }
  while (ended < 101) in.run_one();
  // While the store is open, as another process would.
  ASSERT_TRUE(sqlite::backup(options.path, dir.file("copy.db")));
  EXPECT_EQ(sqlite::backup(options.path, dir.file("copy.db")).error().code, errc::conflict)
      << "never over another";
  EXPECT_FALSE(sqlite::backup(dir.file("nothing.db"), dir.file("x.db")));
  s.close();

  options.path = dir.file("copy.db");
  store_hooks none;
  none.post = [](std::move_only_function<void()>) {};
  auto copy = open_sqlite_store(options, std::move(none));
  ASSERT_TRUE(copy) << copy.error().log.text;
  EXPECT_EQ((*copy)->list(1, 1'000, 0)->tasks.size(), 100u);
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

TEST(lru, keeps_the_newest_and_throws_out_the_oldest) {
  lru<int> cache(2);
  cache.put("a", 1);
  cache.put("b", 2);
  EXPECT_NE(cache.find("a"), nullptr);  // now b is the oldest
  cache.put("c", 3);
  EXPECT_EQ(cache.find("b"), nullptr);
  cache.put("a", 4);
  EXPECT_EQ(*cache.find("a"), 4);
  EXPECT_EQ(*cache.find("c"), 3);
  lru<int> nothing(0);
  nothing.put("a", 1);
  EXPECT_EQ(nothing.find("a"), nullptr);
}

}  // namespace
}  // namespace relay
