// Which states of the relay are troubles.

#include "server/troubles.hpp"

#include <gtest/gtest.h>

namespace relay {
namespace {

constexpr timestamp start{std::chrono::hours(480'000)};

struct troubles : ::testing::Test {
  std::string now() const {
    std::string out;
    for (const condition& c :
         troubles_of({lanes, counts, stopped, refusal, free, needed, oldest, milliseconds(300'000), trend}))
      out += c.name + (c.subject.empty() ? "" : "(" + c.subject + ")") + " ";
    return out;
  }
  submit_lane& lane(const std::string& name) {
    lanes.emplace_back().name = name;
    return lanes.back();
  }

  std::vector<submit_lane> lanes;
  task_counts counts;
  bool stopped = false;
  std::string refusal;
  std::int64_t free = 10'000, needed = 1'000;
  std::chrono::seconds oldest{0};
  callback_trend trend;
};

TEST_F(troubles, a_relay_that_is_well_has_none) {
  lane("luma");
  counts.by_state.fill(100);
  oldest = std::chrono::seconds(300);
  EXPECT_EQ(now(), "");
}

TEST_F(troubles, of_the_relay_itself) {
  stopped = true;
  EXPECT_EQ(now(), "database_stopped ");
  stopped = false;
  free = 1'999;
  EXPECT_EQ(now(), "disk_low ");
  refusal = "full";
  EXPECT_EQ(now(), "disk_full ") << "and not low beside it";
  refusal.clear();
  free = 0;
  EXPECT_EQ(now(), "") << "it was not measured yet";
  counts.ambiguous = 1;
  oldest = std::chrono::seconds(301);
  EXPECT_EQ(now(), "lost_submissions pending_too_long ");
}

TEST_F(troubles, of_upstreams_that_jobs_may_go_to) {
  submit_lane& l = lane("luma/b");
  l.failures = 1;
  l.why = cause::key_refused;
  EXPECT_EQ(now(), "key_refused(luma/b) ");
  l.why = cause::no_credits;
  EXPECT_EQ(now(), "out_of_credits(luma/b) ");
  l.why = cause::unreachable;
  EXPECT_EQ(now(), "") << "once is nothing";
  l.failures = 3;
  EXPECT_EQ(now(), "upstream_down(luma/b) ");
  for (const lane_mode m : {lane_mode::paused, lane_mode::draining, lane_mode::closed}) {
    l.mode = m;
    EXPECT_EQ(now(), "") << "its operator knows";
  }
  l.mode = lane_mode::open;
  l.poll_only = true;
  EXPECT_EQ(now(), "");
}

TEST_F(troubles, of_callbacks_in_the_last_quarter_of_an_hour) {
  trend.add({1'000, 0}, start);
  trend.add({1'005, 9}, start + std::chrono::minutes(1));
  EXPECT_EQ(now(), "") << "too few";
  trend.add({1'005, 12}, start + std::chrono::minutes(2));
  EXPECT_EQ(now(), "callbacks_failing ");
  trend.add({1'020, 14}, start + std::chrono::minutes(3));
  EXPECT_EQ(now(), "") << "more are delivered";
  trend.add({1'020, 40}, start + std::chrono::minutes(10));
  EXPECT_EQ(now(), "callbacks_failing ");
  for (int minute = 11; minute <= 40; ++minute) trend.add({1'020, 40}, start + std::chrono::minutes(minute));
  EXPECT_EQ(now(), "") << "that is over";
}

}  // namespace
}  // namespace relay
