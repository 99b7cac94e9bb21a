// Balances, the ledger and usage: written with the change that causes them, or not at all. On SQLite and on
// the store of the tests.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "common/base/id.hpp"
#include "storage/sqlite/db.hpp"
#include "tests/support/both_stores.hpp"
#include "tests/support/luma.hpp"

namespace relay {
namespace {

constexpr timestamp start{std::chrono::hours(480'000)};
constexpr money price{400'000};

class ledger_test : public test::both_stores {
 protected:
  account add_account(const std::string& name, bool prepaid = true) {
    account a;
    a.name = name;
    a.prepaid = prepaid;
    a.group = "friends";
    return get(&store::write_account, a, audit_ptr{}).value();
  }
  result<ledger_row> top_up(const account& a, money amount) {
    ledger_entry e;
    e.account = a.id;
    e.amount = amount;
    e.note = "paid by card";
    e.made_by = "owner";
    e.at = start;
    return get(&store::book, e, audit_ptr{});
  }
  task job_of(const account& a) {
    task t = test::luma_task();
    t.id = make_id(start + std::chrono::milliseconds(++made_), {});
    t.owner = a.id;
    t.token = 3;
    t.request = R"({"prompt":"abc"})";
    t.price = price;
    t.created_at = start;
    t.next_submit_at = t.deadline = start;
    return t;
  }
  result<task_ptr> write(const task_ptr& before, task after, std::string request_id = {}) {
    change c{before, std::move(after), std::nullopt};
    booking b = booking_of(before.get(), *c.after, {money{100'000}, "ray-2", true});
    if (b.ledger) b.ledger->request_id = std::move(request_id);
    if (!b.empty()) c.booked = std::make_unique<booking>(std::move(b));
    auto written = get(&store::write, std::move(c));
    if (!written) return std::unexpected(std::move(written.error()));
    return written->value;
  }
  result<task_ptr> end(const task_ptr& before, task_state how) {
    task t = *before;
    t.state = how;
    t.upstream = "luma";
    t.upstream_id = "u-" + t.id;
    t.started_at = start;
    t.finished_at = start + std::chrono::seconds(5);
    t.next_submit_at = never;
    return write(before, std::move(t));
  }
  std::string has(const account& a) {
    const auto b = get(&store::balance, a.id).value();
    return to_text(b.balance) + " held " + to_text(b.held);
  }
  // The oldest first.
  std::string kinds(const account& a) {
    std::string out;
    account_balance sum;
    ledger_filter f;
    f.account = a.id;
    f.limit = 1'000;
    auto rows = get(&store::ledger, f).value();
    for (auto row = rows.rbegin(); row != rows.rend(); ++row) {
      out += (out.empty() ? "" : " ") + std::string(name_of(row->entry.kind));
      sum.balance += row->entry.amount;
      sum.held += row->entry.held;
      EXPECT_EQ(row->after, sum) << "each row says what there is after it";
    }
    EXPECT_EQ(get(&store::balance, a.id).value(), sum);
    return out;
  }

  int made_ = 0;
};

INSTANTIATE_TEST_SUITE_P(engines, ledger_test, ::testing::Values(test::engine::sqlite, test::engine::memory),
                         [](const auto& p) { return p.param == test::engine::sqlite ? "sqlite" : "memory"; });

TEST_P(ledger_test, a_job_is_held_and_then_charged_or_released) {
  const account a = add_account("alice");
  ASSERT_TRUE(top_up(a, {1'000'000}));
  const auto one = write(nullptr, job_of(a), "req-1").value();
  const auto two = write(nullptr, job_of(a), "req-2").value();
  EXPECT_EQ(has(a), "1.00 held 0.80");
  ASSERT_TRUE(end(one, task_state::completed));
  ASSERT_TRUE(end(two, task_state::failed));
  EXPECT_EQ(has(a), "0.60 held 0.00");
  EXPECT_EQ(kinds(a), "topup hold hold charge release");
  open();  // it is on disk
  EXPECT_EQ(has(a), "0.60 held 0.00");
  ledger_filter of_job;
  of_job.task_id = one->id;
  const auto rows = get(&store::ledger, of_job).value();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[1].entry.request_id, "req-1");
  EXPECT_EQ(rows[0].entry.upstream_id, "u-" + one->id);
  EXPECT_EQ(rows[0].entry.cost, (money{100'000}));
  EXPECT_EQ(rows[0].entry.token, 3);
}

TEST_P(ledger_test, what_the_balance_does_not_cover_is_refused_and_leaves_nothing) {
  const account a = add_account("alice");
  ASSERT_TRUE(top_up(a, {799'999}));
  ASSERT_TRUE(write(nullptr, job_of(a)));
  const task second = job_of(a);
  const auto refused = write(nullptr, second);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::insufficient_credits);
  EXPECT_EQ(get(&store::load, second.id).value(), nullptr);
  EXPECT_EQ(store_->counts()[task_state::pending], 1);
  EXPECT_EQ(kinds(a), "topup hold");
  ASSERT_TRUE(top_up(a, {1}));
  EXPECT_TRUE(write(nullptr, second)) << "to the millionth";
  EXPECT_EQ(has(a), "0.80 held 0.80");
}

TEST_P(ledger_test, an_account_that_pays_afterwards_may_go_below_zero) {
  const account a = add_account("studio", false);
  const auto one = write(nullptr, job_of(a)).value();
  ASSERT_TRUE(end(one, task_state::completed));
  EXPECT_EQ(has(a), "-0.40 held 0.00");
}

TEST_P(ledger_test, a_late_job_is_charged_once_and_may_go_below_zero) {
  const account a = add_account("alice");
  ASSERT_TRUE(top_up(a, price));
  const auto one = write(nullptr, job_of(a)).value();
  const auto failed = end(one, task_state::failed).value();
  const auto other = write(nullptr, job_of(a)).value();
  ASSERT_TRUE(end(other, task_state::completed));
  ASSERT_TRUE(end(failed, task_state::completed));
  EXPECT_EQ(has(a), "-0.40 held 0.00");
  EXPECT_EQ(kinds(a), "topup hold release hold charge charge");
}

TEST_P(ledger_test, a_job_has_one_row_of_a_kind_whatever_is_asked_for) {
  const account a = add_account("alice");
  ASSERT_TRUE(top_up(a, {1'000'000}));
  const auto one = write(nullptr, job_of(a)).value();
  const auto failed = end(one, task_state::failed).value();
  // A fault of the program: the release comes once more.
  task again = *failed;
  again.misses = 1;
  change c{failed, again, std::nullopt};
  c.booked = std::make_unique<booking>(booking_of(one.get(), *failed, {}));
  const auto refused = get(&store::write, std::move(c));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::internal) << "and no conflict, after which it would be tried again";
  EXPECT_EQ(get(&store::load, one->id).value()->misses, 0) << "nothing of it is written";
  EXPECT_EQ(has(a), "1.00 held 0.00");
  EXPECT_EQ(kinds(a), "topup hold release");
}

TEST_P(ledger_test, a_change_that_lost_a_race_books_nothing) {
  const account a = add_account("alice");
  ASSERT_TRUE(top_up(a, {1'000'000}));
  const auto one = write(nullptr, job_of(a)).value();
  ASSERT_TRUE(end(one, task_state::failed));
  const auto late = end(one, task_state::completed);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, errc::conflict);
  EXPECT_EQ(kinds(a), "topup hold release");
  usage_query q;
  q.until = 100'000;
  EXPECT_EQ(get(&store::usage, q).value().front().jobs, 1);
}

TEST_P(ledger_test, a_repeated_create_holds_nothing) {
  const account a = add_account("alice");
  ASSERT_TRUE(top_up(a, {1'000'000}));
  idempotency_record key;
  key.digest = sha256("key");
  key.request = sha256("request");
  for (int i = 0; i < 2; ++i) {
    change c{nullptr, job_of(a), key};
    c.booked = std::make_unique<booking>(booking_of(nullptr, *c.after, {}));
    const auto done = get(&store::write, std::move(c)).value();
    EXPECT_EQ(done.what == written_change::outcome::written, i == 0);
  }
  EXPECT_EQ(kinds(a), "topup hold");
}

TEST_P(ledger_test, nobody_is_given_anything_who_is_not_there) {
  account nobody;
  nobody.id = 4711;
  const auto refused = top_up(nobody, {1});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::task_not_found);
}

TEST_P(ledger_test, a_change_of_the_account_leaves_its_balance) {
  account a = add_account("alice");
  ASSERT_TRUE(top_up(a, {1'000'000}));
  a.prepaid = false;
  a.group = "others";
  const auto saved = get(&store::write_account, a, audit_ptr{});
  ASSERT_TRUE(saved) << "a top-up is no change of the account";
  EXPECT_EQ(has(a), "1.00 held 0.00");
  const auto read = get(&store::account_by_id, a.id).value();
  EXPECT_FALSE(read->prepaid);
  EXPECT_EQ(read->group, "others");
}

TEST_P(ledger_test, pages_of_the_ledger_go_back_in_time) {
  const account a = add_account("alice"), b = add_account("bob");
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(top_up(a, {i}));
    ASSERT_TRUE(top_up(b, {100}));
  }
  ledger_filter f;
  f.account = a.id;
  f.limit = 2;
  std::string seen;
  for (auto page = get(&store::ledger, f).value(); !page.empty(); page = get(&store::ledger, f).value()) {
    for (const ledger_row& r : page) seen += std::to_string(r.entry.amount.millionths);
    f.before = page.back().id;
  }
  EXPECT_EQ(seen, "54321");
}

TEST_P(ledger_test, usage_is_told_apart_as_asked_for_and_stays_when_jobs_are_purged) {
  const account a = add_account("alice"), b = add_account("bob", false);
  ASSERT_TRUE(top_up(a, {10'000'000}));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(end(write(nullptr, job_of(a)).value(), task_state::completed));
  ASSERT_TRUE(end(write(nullptr, job_of(a)).value(), task_state::failed));
  const auto late = end(write(nullptr, job_of(b)).value(), task_state::failed).value();
  usage_query q;
  q.until = 100'000;
  q.by = {usage_by::account, usage_by::outcome};
  const auto lines = [&] {
    std::string out;
    for (const usage_entry& u : get(&store::usage, q).value())
      out += std::to_string(u.account) + " " + std::string(name_of(u.outcome)) + " " +
             std::to_string(u.jobs) + " " + to_text(u.amount) + " " + to_text(u.cost) + " " +
             std::to_string(u.run.count()) + "\n";
    return out;
  };
  EXPECT_EQ(lines(),
            "1 completed 3 1.20 0.30 15000\n"
            "1 failed 1 0.00 0.00 5000\n"
            "2 failed 1 0.00 0.00 5000\n");
  ASSERT_TRUE(end(late, task_state::completed));
  EXPECT_EQ(get(&store::purge_tasks, start + std::chrono::hours(1), std::int64_t{100}).value(), 5);
  EXPECT_EQ(lines(),
            "1 completed 3 1.20 0.30 15000\n"
            "1 failed 1 0.00 0.00 5000\n"
            "2 completed 1 0.40 0.10 5000\n")
      << "it is counted as what it turned out to be";
  EXPECT_EQ(kinds(a), "topup hold charge hold charge hold charge hold release");
  q.account = b.id;
  q.by = {};
  EXPECT_EQ(lines(), "0 completed 1 0.40 0.10 5000\n");
  q.since = q.until = 20'001;
  EXPECT_EQ(lines(), "") << "another day";
}

// It failed before jobs were counted, or under other words: nothing is there to be taken back.
TEST_P(ledger_test, what_was_not_counted_is_not_taken_back) {
  const account a = add_account("alice", false);
  const auto one = write(nullptr, job_of(a)).value();
  task failed = *one;
  failed.state = task_state::failed;
  failed.finished_at = start;
  failed.next_submit_at = never;
  const auto uncounted = get(&store::write, change{one, failed, std::nullopt}).value().value;
  if (GetParam() == test::engine::memory) return;  // it keeps each change, and sums
  ASSERT_TRUE(end(uncounted, task_state::completed));
  usage_query q;
  q.until = 100'000;
  q.by = {usage_by::outcome};
  const auto rows = get(&store::usage, q).value();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].jobs, 1);
  EXPECT_EQ(rows[0].outcome, job_outcome::completed);
  q.limit = 0;
  EXPECT_FALSE(get(&store::usage, q)) << "more rows than are wanted";
}

// ---- the table itself

TEST(ledger_table, rows_cannot_be_changed_or_deleted) {
  test::temp_dir dir;
  const std::string path = dir.file("a.db");
  {
    test::opened_store s(path);
    account a;
    a.name = "alice";
    const account made = s.get(&store::write_account, a, audit_ptr{}).value();
    ledger_entry e;
    e.account = made.id;
    e.amount = {1};
    ASSERT_TRUE(s.get(&store::book, e, audit_ptr{}));
    s.kept->close();
  }
  auto d = sqlite::db::open(path, sqlite::role::writer);
  ASSERT_TRUE(d);
  for (const char* sql : {"DELETE FROM ledger", "UPDATE ledger SET amount=2"}) {
    const auto done = d->run(sql);
    ASSERT_FALSE(done) << sql;
    EXPECT_NE(done.error().log.text.find("never"), std::string::npos) << done.error().log.text;
  }
}

}  // namespace
}  // namespace relay
