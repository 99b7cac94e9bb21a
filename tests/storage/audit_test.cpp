// Who changed what is written with the change, or neither is; and an idempotency key is used once. On SQLite
// and on the store of the tests.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "storage/sqlite/db.hpp"
#include "tests/support/both_stores.hpp"

namespace relay {
namespace {

constexpr timestamp start{std::chrono::hours(480'000)};
constexpr std::int64_t from_the_newest = std::numeric_limits<std::int64_t>::max();

class audit_test : public test::both_stores {
 protected:
  static audit_entry entry(const std::string& key = {}) {
    audit_entry e;
    e.made_by = "shop";
    e.operation = "createAccount";
    e.target = "account/a";
    e.after = R"({"name":"a"})";
    e.request_id = "r-1";
    e.idempotency_key = key;
    e.request = sha256("request of " + key);
    e.at = start;
    return e;
  }
  static audit_ptr why(const std::string& key = {}) {
    return std::make_shared<const audit_entry>(entry(key));
  }
  static account named(const std::string& name) {
    account a;
    a.name = name;
    return a;
  }
  std::vector<audit_row> rows(std::int64_t before = from_the_newest, std::int64_t limit = 100) {
    return get(&store::audit, before, limit).value();
  }
};

INSTANTIATE_TEST_SUITE_P(engines, audit_test, ::testing::Values(test::engine::sqlite, test::engine::memory),
                         [](const auto& info) {
                           return info.param == test::engine::sqlite ? "sqlite" : "memory";
                         });

TEST_P(audit_test, a_change_and_its_row_are_both_there) {
  ASSERT_TRUE(get(&store::write_account, named("a"), why()));
  ASSERT_EQ(rows().size(), 1u);
  audit_entry expected = entry();
  expected.request = {};  // it is kept for the key alone, and not shown
  audit_entry found = rows().front().entry;
  found.request = {};
  EXPECT_EQ(found, expected);
}

TEST_P(audit_test, what_is_refused_leaves_no_row) {
  ASSERT_TRUE(get(&store::write_account, named("a"), audit_ptr{}));
  EXPECT_TRUE(rows().empty()) << "nobody was said to have made it";
  EXPECT_EQ(get(&store::write_account, named("a"), why()).error().code, errc::conflict);
  ledger_entry e;
  e.account = 99;
  EXPECT_EQ(get(&store::book, e, why()).error().code, errc::task_not_found);
  EXPECT_TRUE(rows().empty());
}

TEST_P(audit_test, with_a_key_that_was_used_nothing_is_changed) {
  const std::int64_t account = get(&store::write_account, named("a"), audit_ptr{}).value().id;
  ledger_entry e;
  e.account = account;
  e.amount = money{5'000'000};
  ASSERT_TRUE(get(&store::book, e, why("k-1")));
  const auto twice = get(&store::book, e, why("k-1"));
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, errc::internal) << "no other try would end otherwise";
  EXPECT_EQ(get(&store::balance, account)->balance, e.amount) << "once";
  EXPECT_EQ(rows().size(), 1u);
  ASSERT_TRUE(get(&store::book, e, why("k-2")));
  ASSERT_TRUE(get(&store::book, e, why()));
  ASSERT_TRUE(get(&store::book, e, why())) << "without a key each is its own";
  EXPECT_EQ(rows().size(), 4u);
}

TEST_P(audit_test, the_answer_to_a_key_is_kept_over_a_restart) {
  EXPECT_FALSE(get(&store::find_carried_out, "shop", "k-1").value());
  ASSERT_TRUE(get(&store::write_account, named("a"), why("k-1")));
  auto found = get(&store::find_carried_out, "shop", "k-1").value();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->response.status, 0) << "the process may end before the answer is kept";
  EXPECT_EQ(found->request, sha256("request of k-1"));
  const kept_response first{201, R"({"id":1})", "\"1-1\"", "/accounts/a"};
  ASSERT_TRUE(get(&store::keep_response, "shop", "k-1", first));
  ASSERT_TRUE(get(&store::keep_response, "shop", "k-1", kept_response{500, "other", "", ""}));
  ASSERT_TRUE(get(&store::keep_response, "shop", "none", kept_response{200, "{}", "", ""}));
  open();
  found = get(&store::find_carried_out, "shop", "k-1").value();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->response, first) << "the first stays";
  EXPECT_EQ(found->target, "account/a");
  EXPECT_EQ(found->request_id, "r-1");
  EXPECT_FALSE(get(&store::find_carried_out, "other", "k-1").value()) << "keys are their maker's own";
  EXPECT_FALSE(get(&store::find_carried_out, "shop", "").value());
  EXPECT_FALSE(get(&store::find_carried_out, "shop", "none").value());
}

TEST_P(audit_test, pages_go_back) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(get(&store::note_change, why("k" + std::to_string(i))));
  const auto first = rows(from_the_newest, 2);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_EQ(first.front().entry.idempotency_key, "k4");
  const auto rest = rows(first.back().id, 100);
  ASSERT_EQ(rest.size(), 3u);
  EXPECT_EQ(rest.back().entry.idempotency_key, "k0");
}

TEST_P(audit_test, admin_tokens) {
  admin_token t;
  t.name = "shop";
  t.role = admin_role::operator_;
  t.digest = sha256("secret");
  t.hint = "cret";
  t.created_at = start;
  t.expires_at = start + std::chrono::hours(1);
  const auto made = get(&store::insert_admin_token, t, why());
  ASSERT_TRUE(made);
  t.id = made->id;
  EXPECT_EQ(*made, t);
  admin_token other = t;
  other.id = 0;
  other.digest = sha256("another");
  EXPECT_EQ(get(&store::insert_admin_token, other, why()).error().code, errc::conflict);
  ASSERT_TRUE(get(&store::revoke_admin_token, t.id, start, why()));
  EXPECT_EQ(get(&store::revoke_admin_token, t.id, start, why()).error().code, errc::task_not_found);
  ASSERT_TRUE(get(&store::insert_admin_token, other, why())) << "the name is free again";
  open();
  const auto all = get(&store::admin_tokens).value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_TRUE(all[0].revoked());
  EXPECT_EQ(all[1].role, admin_role::operator_);
  EXPECT_EQ(rows().size(), 3u) << "two that were refused left none";
  EXPECT_TRUE(all[1].in_force(start));
  EXPECT_FALSE(all[1].in_force(t.expires_at));
}

// Not even another program's statement changes what was written.
TEST(audit_rows, stay) {
  const test::temp_dir dir;
  {
    test::opened_store s(dir.file("a.db"));
    audit_entry e;
    e.made_by = "shop";
    e.at = start;
    ASSERT_TRUE(s.get(&store::note_change, std::make_shared<const audit_entry>(e)));
  }
  auto d = sqlite::db::open(dir.file("a.db"), sqlite::role::writer);
  ASSERT_TRUE(d);
  EXPECT_FALSE(d->run("DELETE FROM audit"));
  EXPECT_FALSE(d->run("UPDATE audit SET made_by='another'"));
}

}  // namespace
}  // namespace relay
