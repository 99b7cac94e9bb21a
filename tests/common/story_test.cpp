// What happened to a job, line by line: problems only, bounded, and in order.

#include "common/engine/story.hpp"

#include <gtest/gtest.h>

#include "common/engine/lifecycle.hpp"
#include "tests/support/luma.hpp"

namespace relay {
namespace {

using std::chrono::seconds;

constexpr timestamp start{std::chrono::hours(480'000)};

struct story : ::testing::Test {
  story() {
    t = test::luma_task();
    t.id = "t-1";
    t.created_at = t.next_submit_at = start;
    t.deadline = start + seconds(900);
  }
  void happens(task_event e, int second) { t = advance(t, e, start + seconds(second), {}, 0); }
  void submitted(int second, const std::string& attempt) {
    happens(event::submit_started{"luma", "", attempt, "p"}, second);
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> out;
    for (const story_line& l : story_of(t)) out.push_back(l.text);
    return out;
  }
  using lines = std::vector<std::string>;

  task t;
};

TEST_F(story, a_job_without_trouble_writes_nothing_for_it) {
  submitted(1, "a");
  job j;
  j.id = "j-1";
  happens(event::accepted{j, "{}", "a"}, 2);
  j.state = job_state::completed;
  j.has_result = true;
  happens(event::polled{j, "{\"done\":1}"}, 9);
  ASSERT_EQ(t.state, task_state::completed);
  EXPECT_EQ(t.story, "");
  EXPECT_EQ(texts(), (lines{"created", "submitted to upstream luma, attempt 1", "upstream luma has it as j-1",
                            "completed"}));
}

TEST_F(story, each_problem_is_a_line_with_its_words) {
  submitted(1, "a");
  happens(event::unavailable{{}, false, "a", false, "status 429: too many"}, 2);
  submitted(3, "b");
  happens(event::outcome_unknown{"b", "status 502"}, 4);
  happens(event::lookup_failed{false, {}, "status 500"}, 5);
  job j;
  j.id = "j-1";
  happens(event::found{j, "{}"}, 6);
  happens(event::poll_failed{.note = "status 503"}, 7);
  happens(event::poll_failed{.note = "status 503"}, 8);
  happens(event::poll_failed{.note = "connection refused"}, 9);
  happens(event::cancelled{}, 10);  // it means nothing any more
  EXPECT_EQ(
      texts(),
      (lines{"created", "submission 1 to upstream luma was not taken: status 429: too many",
             "submitted to upstream luma, attempt 2",
             "the response to submission 2 to upstream luma was lost, and it is looked up there: status 502",
             "it could not be looked up at upstream luma: status 500", "upstream luma shows it as j-1",
             "upstream luma has it as j-1",
             "a poll of upstream luma failed: status 503 (2 times, the last at 2024-10-04T00:00:08.000Z)",
             "a poll of upstream luma failed: connection refused"}));
}

TEST_F(story, what_operators_and_clients_asked_for) {
  t.callback_url = "https://example.com/hook";
  happens(event::cancelled{}, 1);
  happens(event::delivery_failed{"status 500", false, {}, 0}, 2);
  happens(event::callback_requested{}, 3);
  happens(event::deleted{}, 4);
  EXPECT_EQ(texts(), (lines{"created", "an operator cancelled it",
                            "failed: Cancelled by the operator before it was submitted",
                            "its callback was not accepted: status 500", "an operator asked for its callback",
                            "its client deleted it"}));
}

TEST_F(story, an_upstream_that_calls_is_a_line_while_it_matters) {
  happens(event::called{}, 1);  // no upstream has it yet
  submitted(2, "a");
  happens(event::outcome_unknown{"a", "status 502"}, 3);
  happens(event::called{}, 4);
  job j;
  j.id = "j-1";
  happens(event::found{j, "{}"}, 5);
  happens(event::called{}, 6);
  happens(event::called{}, 7);
  j.state = job_state::completed;
  j.has_result = true;
  happens(event::polled{j, "{\"done\":1}"}, 8);
  const std::string once = t.story;
  happens(event::called{}, 9);  // it has ended
  EXPECT_EQ(t.story, once);
  EXPECT_EQ(
      texts(),
      (lines{"created", "submitted to upstream luma, attempt 1",
             "the response to submission 1 to upstream luma was lost, and it is looked up there: status 502",
             "upstream luma called about it (3 times, the last at 2024-10-04T00:00:07.000Z)",
             "upstream luma shows it as j-1", "upstream luma has it as j-1", "completed"}));
}

TEST_F(story, two_lines_that_take_turns_are_counted) {
  submitted(1, "a");
  job j;
  j.id = "j-1";
  happens(event::accepted{j, "{}", "a"}, 2);
  for (int i = 0; i < 50; ++i) {
    happens(event::called{}, 10 + 2 * i);
    happens(event::poll_failed{.note = "status 503"}, 11 + 2 * i);
  }
  EXPECT_EQ(
      texts(),
      (lines{"created", "submitted to upstream luma, attempt 1", "upstream luma has it as j-1",
             "upstream luma called about it (50 times, the last at 2024-10-04T00:01:48.000Z)",
             "a poll of upstream luma failed: status 503 (50 times, the last at 2024-10-04T00:01:49.000Z)"}));
}

TEST_F(story, the_first_and_the_newest_lines_are_kept) {
  t.deadline = start + seconds(5'000);
  for (int i = 0; i < 1'000; ++i) {
    submitted(i, "a");
    happens(event::unavailable{{}, true, "a", false, "reason " + std::to_string(i)}, i);
  }
  const auto all = texts();
  EXPECT_LE(t.story.size(), (max_story_lines + 1) * (max_story_text + 60));
  EXPECT_LE(all.size(), max_story_lines + 3);
  EXPECT_EQ(all.front(), "created");
  EXPECT_TRUE(all[1].ends_with("reason 0")) << all[1];
  EXPECT_TRUE(std::ranges::any_of(all, [](const std::string& l) { return l.ends_with("reason 999"); }));
  // 29 of a thousand stand there.
  EXPECT_NE(std::ranges::find(all, "971 lines are left out"), all.end()) << all[11];
}

TEST_F(story, what_others_wrote_is_one_line) {
  submitted(1, "a");
  happens(event::unavailable{{}, false, "a", false, "a\nb\x1b[31m " + std::string(5'000, 'x')}, 2);
  ASSERT_EQ(texts().size(), 3u);
  for (const std::string& l : texts()) {
    EXPECT_LE(l.size(), max_story_text + 10);
    EXPECT_EQ(l.find_first_of("\n\x1b"), std::string::npos);
  }
}

}  // namespace
}  // namespace relay
