// Why a job waits, or what became of it, as an operator reads it.

#include "common/engine/explain.hpp"

#include <gtest/gtest.h>

#include "common/engine/lifecycle.hpp"
#include "tests/support/luma.hpp"

namespace relay {
namespace {

using std::chrono::seconds;

constexpr timestamp start{std::chrono::hours(480'000)};

struct explained : ::testing::Test {
  explained() {
    lanes.emplace_back().name = "luma";
    t = test::luma_task();
    t.id = "t-1";
    t.created_at = t.next_submit_at = start;
    t.deadline = start + seconds(900);
  }
  submit_lane& lane() { return lanes.front(); }
  std::string now() const { return explain(t, lanes, start + seconds(10)); }

  std::vector<submit_lane> lanes;
  task t;
};

TEST_F(explained, a_job_that_waits_says_what_for) {
  const std::string end = "; it fails at 2024-10-04T00:15:00.000Z if nobody takes it";
  EXPECT_EQ(now(), "waiting: upstream luma can take it: it goes out in the turn of its account" + end);
  lane().mode = lane_mode::paused;
  EXPECT_EQ(now(), "waiting: upstream luma is paused by an operator" + end);
  lane().mode = lane_mode::open;
  lane().cool_down_until = start + seconds(60);
  lane().problem = "status 429: too many";
  EXPECT_EQ(
      now(),
      "waiting: upstream luma gets no jobs until 2024-10-04T00:01:00.000Z after status 429: too many" + end);
  lane().cool_down_until = never;
  lane().max_open = lane().open = 3;
  EXPECT_EQ(now(), "waiting: upstream luma has 3 of the 3 jobs that max_concurrent allows" + end);
  lane().open = 0;
  lane().per_minute = 1;
  lane().begin(start);
  EXPECT_EQ(now(), "waiting: upstream luma takes its next job by 2024-10-04T00:01:00.000Z" + end);
  lane() = submit_lane{};
  lane().name = "luma";
  lane().window = 1;
  lane().begin(start);
  EXPECT_EQ(now(), "waiting: upstream luma is being sent 1 job, and more go when these are answered" + end);
  lane() = submit_lane{};
  lane().name = "luma";
  t.next_submit_at = start + seconds(30);
  t.attempts = 2;
  EXPECT_EQ(
      now(),
      "waiting: upstream luma can take a job, but not this one before 2024-10-04T00:00:30.000Z; 2 attempts "
      "so far" +
          end);
  lane().actions = {"image"};
  EXPECT_EQ(now(), "waiting: no upstream of the configuration takes such a job now; 2 attempts so far" + end);
  t.pinned = true;
  t.upstream = "other";
  t.attempts = 0;
  EXPECT_EQ(now(), "waiting: only upstream other has what it builds on, and takes no such job" + end);
  lanes.clear();
  EXPECT_EQ(now(), "waiting: no relay runs with this database" + end);
}

TEST_F(explained, each_other_state_says_where_the_job_is) {
  t.upstream = "luma";
  t.upstream_id = "u-1";
  t.attempted_at = start;
  t.state = task_state::submitting;
  EXPECT_EQ(now(), "being submitted to luma since 2024-10-04T00:00:00.000Z");
  t.ambiguous_at = start;
  t.next_reconcile_at = start + seconds(20);
  t.cancelled_at = start;
  EXPECT_EQ(
      now(),
      "the response to its submission to luma at 2024-10-04T00:00:00.000Z was lost: it is looked up there, "
      "next at 2024-10-04T00:00:20.000Z; it was cancelled, and ends unless the upstream has it");
  t.ambiguous_at = t.next_reconcile_at = t.cancelled_at = never;
  t.state = task_state::running;
  t.started_at = start;
  t.misses = 1;
  t.next_poll_at = start + seconds(12);
  t.deleted_at = start;
  EXPECT_EQ(
      now(),
      "at upstream luma as u-1 since 2024-10-04T00:00:00.000Z; 1 poll without an answer; polled next by "
      "2024-10-04T00:00:12.000Z; its client deleted it");
  t.deleted_at = t.next_poll_at = never;
  t.state = task_state::completed;
  t.finished_at = start + seconds(5);
  t.pending_callbacks = "c";
  t.callback_attempts = 2;
  t.callback_problem = "status 500";
  t.next_callback_at = start + seconds(300);
  EXPECT_EQ(now(),
            "completed at 2024-10-04T00:00:05.000Z by upstream luma; 2 attempts at its callback failed "
            "(status 500), "
            "next at 2024-10-04T00:05:00.000Z");
  t.pending_callbacks.clear();
  t.callback_attempts = 0;
  t.next_callback_at = never;
  t.state = task_state::failed;
  t.fail_status = 400;
  EXPECT_EQ(
      now(),
      "failed at 2024-10-04T00:00:05.000Z: upstream luma refused it with 400; its callback was not accepted "
      "(status 500)");
  t.fail_status = 0;
  t.callback_problem.clear();
  t.ambiguous_at = start;
  EXPECT_EQ(now(),
            "failed at 2024-10-04T00:00:05.000Z; it may be there all the same, and is looked up until "
            "2024-10-04T00:15:00.000Z");
  t.ambiguous_at = never;
  t.state = task_state::pending;
  t.held_at = start;
  EXPECT_TRUE(now().starts_with("held since a backup was restored at ")) << now();
}

// Whatever the state: something is said, and no text of the client's.
TEST_F(explained, nothing_is_ever_empty) {
  t.request = R"({"prompt":"a secret prompt"})";
  t.marker = "the secret of a callback";
  for (const task_state s : all_states) {
    t.state = s;
    EXPECT_FALSE(now().empty()) << name_of(s);
    EXPECT_EQ(now().find("secret"), std::string::npos);
  }
}

}  // namespace
}  // namespace relay
