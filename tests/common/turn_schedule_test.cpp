#include "common/engine/turn_schedule.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace relay {
namespace {

timestamp at(int seconds) {
  return timestamp(std::chrono::hours(1)) + std::chrono::seconds(seconds);
}
std::vector<std::string> drained(turn_schedule& s, timestamp now) {
  std::vector<std::string> out;
  while (auto next = s.pop(now)) out.push_back(next->task_id);
  return out;
}
using ids = std::vector<std::string>;

TEST(turn_schedule, owners_take_turns_and_the_most_overdue_goes_first) {
  turn_schedule s;
  for (int i = 0; i < 4; ++i) s.set("a" + std::to_string(i), 1, at(i));
  s.set("b0", 2, at(3));
  s.set("b1", 2, at(2));
  s.set("later", 3, at(10));
  EXPECT_EQ(s.next(), at(0));
  EXPECT_EQ(s.count_before(at(3)), 4);
  EXPECT_EQ(drained(s, at(3)), (ids{"a0", "b1", "a1", "b0", "a2", "a3"}));
  EXPECT_EQ(s.next(), at(10));
  EXPECT_FALSE(s.any_due(at(9)));
  EXPECT_EQ(drained(s, at(10)), ids{"later"});
  EXPECT_EQ(s.next(), never);
}

TEST(turn_schedule, one_that_comes_with_one_job_waits_for_one_turn) {
  turn_schedule s;
  for (int i = 0; i < 10'000; ++i) s.set("a" + std::to_string(i), 1, at(0));
  EXPECT_EQ(s.pop(at(5))->owner, 1);
  s.set("b", 2, at(5));
  EXPECT_EQ(s.pop(at(5))->owner, 1);
  EXPECT_EQ(s.pop(at(5))->task_id, "b");
}

// Against a plain map: nothing is lost, nothing comes twice, nothing too early.
TEST(turn_schedule, as_a_plain_map_would) {
  std::minstd_rand random(7);
  turn_schedule s;
  std::map<std::string, std::pair<std::int64_t, timestamp>> plain;
  for (int step = 0; step < 50'000; ++step) {
    const int n = static_cast<int>(random() % 200);
    const std::string id = std::to_string(n);
    const timestamp now = at(step / 100);
    switch (random() % 4) {
      case 0:
      case 1: {
        const timestamp when = now + std::chrono::seconds(random() % 40);
        s.set(id, n % 7, when);
        plain[id] = {n % 7, when};
        break;
      }
      case 2:
        s.erase(id);
        plain.erase(id);
        break;
      default:
        if (const auto next = s.pop(now)) {
          ASSERT_TRUE(plain.contains(next->task_id));
          ASSERT_LE(plain.at(next->task_id).second, now);
          ASSERT_EQ(plain.at(next->task_id).first, next->owner);
          for (const auto& [other, job] : plain)
            ASSERT_FALSE(job.first == next->owner && job.second < plain.at(next->task_id).second);
          plain.erase(next->task_id);
        } else {
          for (const auto& [other, job] : plain) ASSERT_GT(job.second, now) << other;
        }
    }
    ASSERT_EQ(s.size(), plain.size());
    timestamp earliest = never;
    for (const auto& [other, job] : plain) {
      if (!is_set(earliest) || job.second < earliest) earliest = job.second;
    }
    ASSERT_EQ(s.next(), earliest);
  }
}

}  // namespace
}  // namespace relay
