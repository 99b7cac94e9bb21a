// What an account and its tokens may have and ask for.

#include "common/engine/customer_limits.hpp"

#include <gtest/gtest.h>

#include <random>

namespace relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr timestamp start{std::chrono::hours(1'000)};

limited of(std::int64_t id, customer_limits l = {}, task_counts::customer counted = {}) {
  return {id, l, counted};
}

std::string why(const result<create_limits::place>& r) {
  return r ? "" : r.error().message.text;
}

TEST(own_limits, stand_in_the_place_of_the_usual_ones) {
  const customer_limits usual{10, 20, 30, 40, 50};
  EXPECT_EQ(own_limits{}.over(usual), usual);
  own_limits own;
  own.open = 0;
  own.batch = 5;
  EXPECT_EQ(own.over(usual), (customer_limits{10, 0, 30, 40, 5}));
  for (const limit_name& l : limit_names) {
    own_limits one;
    one.*l.of = 7;
    EXPECT_NE(one.over(usual), usual) << l.name;
  }
}

TEST(create_limits, count_what_is_under_way_and_no_more_once_it_is_given_back) {
  create_limits all;
  const customer_limits three{.open = 3};
  // One is in the store, two are being written.
  auto first = all.admit(of(1, three, {0, 1}), of(9), false, start);
  auto second = all.admit(of(1, three, {0, 1}), of(9), false, start);
  ASSERT_TRUE(first && second);
  const auto third = all.admit(of(1, three, {0, 1}), of(9), false, start);
  EXPECT_NE(why(third).find("This account has reached its limit of 3 open generations"), std::string::npos);
  EXPECT_TRUE(all.admit(of(2, three, {0, 1}), of(9), false, start)) << "each has its own";
  first = create_limits::place{};
  EXPECT_TRUE(all.admit(of(1, three, {0, 1}), of(9), false, start));
}

TEST(create_limits, those_that_wait_are_counted_apart) {
  create_limits all;
  const customer_limits l{.pending = 1};
  const auto waits = all.admit(of(1, l), of(9), true, start);
  EXPECT_TRUE(waits);
  const auto goes_out = all.admit(of(1, l), of(9), false, start);
  EXPECT_TRUE(goes_out) << "it does not wait";
  EXPECT_NE(why(all.admit(of(1, l), of(9), true, start)).find("limit of 1 generations that wait"),
            std::string::npos);
}

// What one of the two refuses counts for neither.
TEST(create_limits, a_tokens_own_limit_is_beside_that_of_its_account) {
  create_limits all;
  const customer_limits four{.creates_per_minute = 4}, one{.creates_per_minute = 1};
  std::vector<result<create_limits::place>> kept;
  kept.push_back(all.admit(of(1, four), of(10, one), false, start));
  EXPECT_TRUE(kept.back());
  for (int i = 0; i < 5; ++i) {
    const auto refused = all.admit(of(1, four), of(10, one), false, start + seconds(i));
    EXPECT_NE(why(refused).find("This API key has reached its limit of 1 creates a minute"),
              std::string::npos);
    EXPECT_EQ(refused.error().retry_after_seconds, 60 - i);
  }
  for (int i = 0; i < 3; ++i) {
    kept.push_back(all.admit(of(1, four), of(11), false, start + seconds(10)));
    EXPECT_TRUE(kept.back()) << "another token of the account";
  }
  EXPECT_NE(why(all.admit(of(1, four), of(11), false, start + seconds(10))).find("This account"),
            std::string::npos);
  EXPECT_TRUE(all.admit(of(1, four), of(11), false, start + seconds(60))) << "the first is a minute old";
}

TEST(create_limits, a_limit_that_is_lowered_holds_from_the_next_create_on) {
  create_limits all;
  for (int i = 0; i < 10; ++i)
    EXPECT_TRUE(all.admit(of(1, {.creates_per_minute = 10}), of(9), false, start + seconds(i)));
  const auto refused = all.admit(of(1, {.creates_per_minute = 3}), of(9), false, start + seconds(10));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().retry_after_seconds, 57) << "when there are two of the last minute";
  EXPECT_TRUE(all.admit(of(1, {.creates_per_minute = 3}), of(9), false, start + seconds(67)));
}

TEST(request_limit, no_minute_has_more_wherever_it_begins) {
  request_limit all;
  std::minstd_rand random(7);
  std::vector<timestamp> let_through;
  timestamp now = start;
  constexpr std::int64_t limit = 20;
  for (int i = 0; i < 20'000; ++i) {
    now += milliseconds(random() % (i % 1'000 < 500 ? 400 : 9'000));
    const request_limit::verdict v = all.admit(1, limit, true, now);
    if (v.admitted) let_through.push_back(now);
    if (v.admitted) continue;
    ASSERT_GT(v.reset_s, 0);
    ASSERT_EQ(v.left, 0);
    // Told when to come again, and let in then; a second earlier there is no room.
    request_limit early = all;
    ASSERT_FALSE(early.admit(1, limit, false, now + seconds(v.reset_s - 1)).admitted) << i;
    ASSERT_TRUE(all.admit(1, limit, false, now + seconds(v.reset_s)).admitted) << i;
    now += seconds(v.reset_s);
  }
  for (std::size_t i = limit; i < let_through.size(); ++i)
    ASSERT_GE(let_through[i] - let_through[i - limit], std::chrono::minutes(1)) << i;
}

TEST(request_limit, says_how_many_are_left_and_counts_only_what_is_to_count) {
  request_limit all;
  EXPECT_EQ(all.admit(1, 3, false, start).left, 3);
  EXPECT_EQ(all.admit(1, 3, true, start).left, 2);
  const request_limit::verdict second = all.admit(1, 3, true, start + seconds(10));
  EXPECT_EQ(second.left, 1);
  EXPECT_EQ(second.reset_s, 61) << "until nothing counts any more";
  EXPECT_EQ(all.admit(2, 3, false, start).left, 3) << "another";
  EXPECT_EQ(all.admit(1, 3, true, start + std::chrono::hours(1)).left, 2) << "all of it is over";
  EXPECT_EQ(all.admit(1, 3, true, start).left, 2) << "a clock that was set back begins anew";
}

TEST(request_limits, what_either_refuses_counts_for_neither) {
  using asking = request_limits::asking;
  request_limits all;
  const asking account{1, 5}, none{1, 0}, narrow{10, 2}, wide{11, 9}, free{12, 0};
  EXPECT_EQ(all.admit(none, free, true, start).limit, 0);
  for (const std::int64_t left : {1, 0}) {
    const auto v = all.admit(account, narrow, true, start);
    EXPECT_TRUE(v.of.admitted && v.is_tokens);
    EXPECT_EQ(v.of.left, left);
  }
  for (int i = 0; i < 10; ++i) {
    const auto refused = all.admit(account, narrow, true, start);
    EXPECT_TRUE(!refused.of.admitted && refused.is_tokens && refused.limit == 2);
  }
  // Three are left to the account.
  const auto looked_at = all.admit(account, wide, false, start);
  EXPECT_TRUE(looked_at.of.admitted && !looked_at.is_tokens);
  EXPECT_EQ(looked_at.of.left, 3);
  for (const std::int64_t left : {2, 1, 0}) EXPECT_EQ(all.admit(account, wide, true, start).of.left, left);
  const auto full = all.admit(account, wide, true, start);
  EXPECT_TRUE(!full.of.admitted && !full.is_tokens && full.limit == 5);
  EXPECT_FALSE(all.admit(account, free, true, start).of.admitted);
  EXPECT_EQ(all.admit(none, wide, false, start).of.left, 6) << "refusals of the account count for no token";
}

}  // namespace
}  // namespace relay
