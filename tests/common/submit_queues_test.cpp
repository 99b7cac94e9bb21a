#include "common/engine/submit_queues.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace relay {
namespace {

timestamp at(int seconds) {
  return timestamp(std::chrono::hours(1)) + std::chrono::seconds(seconds);
}
submit_queues::place place(int seconds, const std::string& id) {
  return {at(seconds), id};
}
constexpr lane_set one = 1, two = 2, both = 3;

// Ids in the order in which they go.
std::vector<std::string> drained(submit_queues& q, timestamp now, lane_set free, std::size_t most = 100) {
  std::vector<std::string> out;
  while (out.size() < most) {
    auto next = q.next(now, free);
    if (!next) break;
    q.end_turn(*next);
    out.push_back(next->where.task_id);
  }
  return out;
}
using ids = std::vector<std::string>;

TEST(submit_queues, customers_take_turns_and_each_ones_oldest_goes_first) {
  submit_queues q;
  for (int i = 0; i < 2'000; ++i) q.add({1, ""}, place(i, "a" + std::to_string(i)), both);
  q.add({2, ""}, place(1'990, "b0"), both);
  EXPECT_EQ(drained(q, at(2'000), both, 4), (ids{"a0", "b0", "a1", "a2"}));
  q.add({3, ""}, place(1'999, "c1"), both);
  q.add({2, ""}, place(1'998, "b1"), both);
  q.add({2, ""}, place(1'995, "b2"), both);
  EXPECT_EQ(drained(q, at(2'000), both, 6), (ids{"c1", "b2", "a3", "b1", "a4", "a5"}));
}

// A customer's cancelled and failed jobs do not use up its turns.
TEST(submit_queues, what_does_not_go_out_costs_no_turn) {
  submit_queues q;
  for (int i = 0; i < 4; ++i) q.add({1, ""}, place(i, "a" + std::to_string(i)), both);
  for (int i = 0; i < 4; ++i) q.add({2, ""}, place(i, "b" + std::to_string(i)), both);
  ids out;
  while (const auto next = q.next(at(10), both)) {
    if (next->where.task_id < "a3") continue;  // gone
    q.end_turn(*next);
    out.push_back(next->where.task_id);
  }
  EXPECT_EQ(out, (ids{"a3", "b0", "b1", "b2", "b3"}));
}

// An account with more weight has several jobs in one turn, and no more.
TEST(submit_queues, a_turn_has_as_many_jobs_as_its_customer_weighs) {
  submit_queues q([](std::int64_t owner) { return owner == 1 ? 3 : 1; });
  for (int i = 0; i < 8; ++i) q.add({1, ""}, place(i, "a" + std::to_string(i)), both);
  for (int i = 0; i < 4; ++i) q.add({2, ""}, place(i, "b" + std::to_string(i)), both);
  EXPECT_EQ(drained(q, at(10), both),
            (ids{"a0", "a1", "a2", "b0", "a3", "a4", "a5", "b1", "a6", "a7", "b2", "b3"}));
  // What is left of its turn is not lost when its queue is empty for a while.
  q.add({1, ""}, place(20, "c0"), both);
  q.add({2, ""}, place(20, "d0"), both);
  q.add({1, ""}, place(21, "c1"), both);
  EXPECT_EQ(drained(q, at(30), both), (ids{"c0", "d0", "c1"}));
}

// What goes to one upstream does not decide whose turn it is at another.
TEST(submit_queues, turns_are_kept_between_lanes) {
  submit_queues q;
  for (int i = 0; i < 3; ++i) {
    q.add({2, ""}, place(i, "2-" + std::to_string(i)), two);
    q.add({1, ""}, place(i, "1-" + std::to_string(i)), one);
    q.add({4, ""}, place(i, "4-" + std::to_string(i)), one);
  }
  ids out;
  for (int i = 0; i < 3; ++i) {
    for (const lane_set free : {two, one}) {
      const auto next = q.next(at(10), free);
      ASSERT_TRUE(next);
      q.end_turn(*next);
      out.push_back(std::to_string(next->queue.owner));
    }
  }
  EXPECT_EQ(out, (ids{"2", "1", "2", "4", "2", "1"}));
}

// A customer that always has one job is not served as one that never had a turn.
TEST(submit_queues, a_turn_is_remembered_when_the_queue_is_empty) {
  submit_queues q;
  ids out;
  for (int i = 0; i < 3; ++i) {
    q.add({1, ""}, place(i, "1"), both);
    q.add({2, ""}, place(i, "2-" + std::to_string(i)), both);
    q.add({2, ""}, place(i, "2'" + std::to_string(i)), both);
    const auto next = q.next(at(10), both);
    ASSERT_TRUE(next);
    q.end_turn(*next);
    out.push_back(std::to_string(next->queue.owner));
  }
  EXPECT_EQ(out, (ids{"1", "2", "1"}));
}

TEST(submit_queues, what_no_free_lane_takes_delays_nothing) {
  submit_queues q;
  for (int i = 0; i < 1'100; ++i) q.add({1, "dead"}, place(i, "p" + std::to_string(i)), one);
  q.add({1, ""}, place(1'200, "mine"), both);
  q.add({1, ""}, place(1'201, "not here"), one);
  q.add({2, ""}, place(1'300, "other"), both);
  EXPECT_EQ(drained(q, at(2'000), two), (ids{"mine", "other"}));
  EXPECT_EQ(q.wanted(at(2'000)), one);
  EXPECT_EQ(drained(q, at(2'000), one).size(), 100u);
}

TEST(submit_queues, only_what_is_due_goes) {
  submit_queues q;
  q.add({1, ""}, place(10, "later"), both);
  q.add({1, ""}, place(5, "soon"), both);
  EXPECT_FALSE(q.next(at(4), both));
  EXPECT_EQ(q.wanted(at(4)), 0u);
  EXPECT_EQ(q.next_due(at(4)), at(5));
  EXPECT_EQ(q.next_due(at(5)), at(10)) << "what is due waits for a lane";
  EXPECT_EQ(drained(q, at(5), both), ids{"soon"});
  EXPECT_EQ(drained(q, at(10), both), ids{"later"});
  EXPECT_FALSE(q.next_due(at(0)));
}

TEST(submit_queues, twice_is_once) {
  submit_queues q;
  q.add({1, ""}, place(1, "a"), both);
  q.add({1, ""}, place(1, "a"), both);
  EXPECT_EQ(drained(q, at(1), both), ids{"a"});
}

TEST(submit_queues, the_head_of_a_queue_is_read_when_it_is_needed) {
  submit_queues q;
  const submit_queue name{1, ""};
  q.open(name);
  EXPECT_EQ(q.wanted(at(0)), ~lane_set{0}) << "whatever stands there was there first";
  EXPECT_FALSE(q.to_read(at(0), 0)) << "no lane is free";
  ASSERT_EQ(q.to_read(at(0), one), name);
  q.begin_reading(name);
  EXPECT_FALSE(q.to_read(at(0), one));
  q.add(name, place(1, "a"), both);
  q.add(name, place(9, "saved while the page was read"), both);
  q.end_reading(name, place(2, "b"), true);
  q.add(name, place(8, "beyond what was read"), both);
  EXPECT_FALSE(q.to_read(at(9), one)) << "one is there that can go";
  EXPECT_EQ(drained(q, at(9), both), (ids{"a", "saved while the page was read"}));
  ASSERT_EQ(q.to_read(at(9), one), name);
  EXPECT_EQ(q.read_to(name), place(2, "b"));
  q.begin_reading(name);
  q.add(name, place(8, "beyond what was read"), both);
  q.end_reading(name, place(9, "z"), false);
  q.add(name, place(20, "new"), both);
  EXPECT_EQ(drained(q, at(30), both), (ids{"beyond what was read", "new"}));
  EXPECT_FALSE(q.to_read(at(30), both));
}

// Jobs that no free lane takes do not hide those behind them.
TEST(submit_queues, reading_goes_on_past_what_cannot_go) {
  submit_queues q;
  const submit_queue name{1, ""};
  q.open(name);
  for (int page = 0; page < 3; ++page) {
    ASSERT_EQ(q.to_read(at(1'000), two), name) << page;
    q.begin_reading(name);
    for (int i = 0; i < 256; ++i)
      q.add(name, place(page * 256 + i, std::to_string(page * 256 + i)), page == 2 && i == 255 ? both : one);
    q.end_reading(name, place(page * 256 + 255, "z"), true);
    if (page == 0) q.add(name, place(1, "known: another lane may be meant further down"), two);
    if (page == 0) EXPECT_EQ(q.next(at(1'000), two)->lanes, two);
  }
  EXPECT_EQ(drained(q, at(1'000), two), ids{"767"});
}

TEST(submit_queues, memory_is_bounded_and_nothing_is_forgotten) {
  submit_queues q;
  const submit_queue name{1, ""};
  std::vector<submit_queues::place> disk;
  for (int i = 0; i < 40'000; ++i) disk.push_back(place(i, std::to_string(i)));
  for (const auto& p : disk) q.add(name, p, both);
  std::size_t gone = 0;
  while (gone < disk.size()) {
    if (q.to_read(at(50'000), both)) {
      const auto from = q.read_to(name);
      q.begin_reading(name);
      auto after = std::ranges::upper_bound(disk, from);
      submit_queues::place last;
      int rows = 0;
      for (; after != disk.end() && rows < 256; ++after, ++rows) q.add(name, last = *after, both);
      q.end_reading(name, last, rows == 256);
    }
    const auto next = q.next(at(50'000), both);
    ASSERT_TRUE(next) << gone;
    ASSERT_EQ(next->where, disk[gone++]);
  }
  EXPECT_FALSE(q.next(at(50'000), both));
}

}  // namespace
}  // namespace relay
