// Every state and every event, as a matrix.

#include "common/lifecycle.hpp"

#include <gtest/gtest.h>

#include <map>

namespace relay {
namespace {

constexpr timestamp t0{std::chrono::hours(1000)};

job said(job_state s, std::string reason = {}) {
  job j;
  j.id = "u-1";
  j.state = s;
  j.failure_reason = std::move(reason);
  return j;
}

task in(task_state s) {
  task t;
  t.id = "t-1";
  t.state = s;
  t.deadline = t0 + std::chrono::minutes(10);
  t.revision = 3;
  if (s == task_state::pending) t.next_submit_at = t0;
  if (s != task_state::pending) {
    t.upstream = "a";
    t.attempts = 1;
  }
  if (s == task_state::queued || s == task_state::dreaming) {
    t.upstream_id = "u-1";
    t.next_poll_at = t0;
    t.started_at = t0;
  }
  if (is_terminal(s)) t.finished_at = t0;
  return t;
}

struct named_event {
  std::string name;
  task_event e;
};

const named_event events[] = {
    {"submit_started", event::submit_started{"b"}},
    {"accepted", event::accepted{said(job_state::queued), "{}"}},
    {"rejected", event::rejected{400, "no"}},
    {"unavailable", event::unavailable{}},
    {"outcome_unknown", event::outcome_unknown{}},
    {"interrupted", event::interrupted{}},
    {"submit_expired", event::submit_expired{}},
    {"polled_queued", event::polled{said(job_state::queued), "{}"}},
    {"polled_dreaming", event::polled{said(job_state::dreaming), "{}"}},
    {"polled_completed", event::polled{said(job_state::completed), "{}"}},
    {"polled_failed", event::polled{said(job_state::failed, "why"), "{}"}},
    {"polled_unknown", event::polled{said(job_state::unknown), "{}"}},
    {"poll_failed", event::poll_failed{}},
};

// What each event makes of each state: pending, submitting, queued, dreaming, completed, failed.
// "-" means that the task is unchanged, to the last field.
const std::map<std::string, std::array<std::string, 6>> expected = {
    {"submit_started", {"submitting", "-", "-", "-", "-", "-"}},
    {"accepted", {"-", "queued", "-", "-", "-", "-"}},
    {"rejected", {"-", "failed", "-", "-", "-", "-"}},
    {"unavailable", {"pending", "pending", "-", "-", "-", "-"}},
    {"outcome_unknown", {"-", "failed", "-", "-", "-", "-"}},
    {"interrupted", {"-", "failed", "-", "-", "-", "-"}},
    {"submit_expired", {"failed", "failed", "-", "-", "-", "-"}},
    {"polled_queued", {"-", "-", "queued", "dreaming", "-", "-"}},
    {"polled_dreaming", {"-", "-", "dreaming", "dreaming", "-", "-"}},
    {"polled_completed", {"-", "-", "completed", "completed", "-", "-"}},
    {"polled_failed", {"-", "-", "failed", "failed", "-", "-"}},
    {"polled_unknown", {"-", "-", "queued", "dreaming", "-", "-"}},
    {"poll_failed", {"-", "-", "queued", "dreaming", "-", "-"}},
};

TEST(lifecycle, every_state_and_every_event) {
  const policy p;
  const timestamp now = t0 + std::chrono::seconds(1);
  for (const named_event& e : events) {
    for (std::size_t i = 0; i < std::size(all_states); ++i) {
      const task before = in(all_states[i]);
      const task after = advance(before, e.e, now, p, 0.5);
      const std::string& want = expected.at(e.name)[i];
      const std::string where = e.name + " in " + std::string(name_of(all_states[i]));
      if (want == "-") {
        EXPECT_EQ(after, before) << where;
        continue;
      }
      EXPECT_EQ(name_of(after.state), want) << where;
      EXPECT_NE(after, before) << where;
      EXPECT_EQ(after.updated_at, now) << where;
      EXPECT_EQ(after.revision, before.revision) << where;
      // Rule M5: what is not terminal is on a schedule and has a deadline; what is terminal is on none.
      if (is_terminal(after.state)) {
        EXPECT_EQ(after.finished_at, now) << where;
        EXPECT_FALSE(is_set(after.next_submit_at) || is_set(after.next_poll_at)) << where;
      } else if (after.state != task_state::submitting) {
        EXPECT_TRUE(is_set(after.next_submit_at) != is_set(after.next_poll_at)) << where;
        EXPECT_TRUE(is_set(after.deadline)) << where;
      }
    }
  }
}

TEST(lifecycle, a_start_names_the_upstream_and_counts) {
  const task t = advance(in(task_state::pending), event::submit_started{"b"}, t0, {}, 0);
  EXPECT_EQ(t.upstream, "b");
  EXPECT_EQ(t.attempts, 1);
  EXPECT_FALSE(is_set(t.next_submit_at));
}

TEST(lifecycle, accepted_takes_the_id_and_starts_the_clock) {
  policy p;
  p.job_deadline = std::chrono::minutes(30);
  const task t = advance(in(task_state::submitting),
                         event::accepted{said(job_state::queued), R"({"id":"u-1"})"}, t0, p, 0);
  EXPECT_EQ(t.upstream_id, "u-1");
  EXPECT_EQ(t.reply, R"({"id":"u-1"})");
  EXPECT_EQ(t.started_at, t0);
  EXPECT_EQ(t.deadline, t0 + std::chrono::minutes(30));
  EXPECT_EQ(t.next_poll_at, t0 + p.poll_interval);
}

TEST(lifecycle, a_job_may_be_done_when_it_is_accepted) {
  const task t =
      advance(in(task_state::submitting), event::accepted{said(job_state::completed), "{}"}, t0, {}, 0);
  EXPECT_EQ(t.state, task_state::completed);
  EXPECT_FALSE(is_set(t.next_poll_at));
}

TEST(lifecycle, unavailable_backs_off_and_obeys_the_upstream) {
  policy p;
  p.submit_retry = milliseconds(1000);
  p.submit_retry_max = milliseconds(8000);
  const int seconds[] = {1, 2, 4, 8, 8};
  task t = in(task_state::submitting);
  for (int i = 0; i < 5; ++i) {
    t.attempts = i + 1;
    const task next = advance(t, event::unavailable{}, t0, p, 0);
    EXPECT_EQ(next.next_submit_at, t0 + std::chrono::seconds(seconds[i])) << i;
    EXPECT_EQ(next.upstream, "a") << "the last one tried, so that the next try can prefer another";
  }
  EXPECT_EQ(advance(t, event::unavailable{milliseconds(60'000)}, t0, p, 0).next_submit_at,
            t0 + std::chrono::seconds(60));
}

TEST(lifecycle, a_pinned_task_stays_with_its_upstream) {
  task t = in(task_state::submitting);
  t.pinned = true;
  EXPECT_EQ(advance(t, event::unavailable{}, t0, {}, 0).upstream, "a");
}

TEST(lifecycle, nobody_in_time) {
  task t = in(task_state::pending);
  t.deadline = t0;
  const task failed = advance(t, event::unavailable{}, t0, {}, 0);
  EXPECT_EQ(failed.state, task_state::failed);
  EXPECT_EQ(failed.fail_reason, "No upstream could take the job within the time allowed");
}

TEST(lifecycle, polls_that_fail_back_off_and_never_fail_the_task_before_its_deadline) {
  policy p;
  p.poll_interval = milliseconds(3000);
  p.poll_retry_max = milliseconds(20'000);
  task t = in(task_state::dreaming);
  const int seconds[] = {6, 12, 20, 20};
  for (const int s : seconds) {
    t = advance(t, event::poll_failed{}, t0, p, 0);
    EXPECT_EQ(t.state, task_state::dreaming);
    EXPECT_EQ(t.next_poll_at, t0 + std::chrono::seconds(s));
  }
  t.deadline = t0 + std::chrono::seconds(5);  // the last question is asked at the deadline, not after it
  EXPECT_EQ(advance(t, event::poll_failed{}, t0, p, 0).next_poll_at, t.deadline);
  EXPECT_EQ(advance(t, event::poll_failed{}, t.deadline, p, 0).state, task_state::failed);
}

TEST(lifecycle, a_few_404s_are_tolerated_in_a_row) {
  policy p;
  p.not_found_limit = 3;
  task t = in(task_state::queued);
  const task_event gone = event::poll_failed{.not_found = true};
  t = advance(t, gone, t0, p, 0);
  t = advance(t, gone, t0, p, 0);
  t = advance(t, event::poll_failed{}, t0, p, 0);  // not in a row any more
  t = advance(t, gone, t0, p, 0);
  t = advance(t, gone, t0, p, 0);
  EXPECT_EQ(t.state, task_state::queued);
  t = advance(t, gone, t0, p, 0);
  EXPECT_EQ(t.state, task_state::failed);
  EXPECT_EQ(t.fail_reason, "The upstream no longer knows the job");
}

TEST(lifecycle, an_answer_forgives_earlier_misses) {
  task t = in(task_state::queued);
  t.misses = 4;
  t.not_found = 4;
  t = advance(t, event::polled{said(job_state::queued), "{}"}, t0, {}, 0);
  EXPECT_EQ(t.misses, 0);
  EXPECT_EQ(t.not_found, 0);
}

TEST(lifecycle, the_deadline_of_a_job) {
  task t = in(task_state::dreaming);
  const task late = advance(t, event::polled{said(job_state::dreaming), "{}"}, t.deadline, {}, 0);
  EXPECT_EQ(late.state, task_state::failed);
  // The last question may still bring the good news.
  EXPECT_EQ(advance(t, event::polled{said(job_state::completed), "{}"}, t.deadline, {}, 0).state,
            task_state::completed);
}

TEST(lifecycle, a_late_success_is_recorded) {
  policy p;
  task t = in(task_state::dreaming);
  t = advance(t, event::polled{said(job_state::dreaming), "{}"}, t.deadline, p, 0);
  ASSERT_EQ(t.state, task_state::failed);
  EXPECT_EQ(t.next_poll_at, t.finished_at + p.late_interval) << "it is asked about on";
  const timestamp later = t.next_poll_at;
  for (const task_event& e :
       {task_event(event::polled{said(job_state::dreaming), "{}"}), task_event(event::poll_failed{}),
        task_event(event::polled{said(job_state::failed, "x"), "{}"})}) {
    const task still = advance(t, e, later, p, 0);
    EXPECT_EQ(still.state, task_state::failed);
    EXPECT_EQ(still.fail_reason, "The job did not end within the time allowed");
    EXPECT_EQ(still.next_poll_at, later + p.late_interval);
    EXPECT_FALSE(is_set(advance(t, e, t.deadline, p, 0).next_poll_at)) << "not for ever";
  }
  const task done = advance(t, event::polled{said(job_state::completed), "{\"x\":1}"}, later, p, 0);
  EXPECT_EQ(done.state, task_state::completed);
  EXPECT_TRUE(done.fail_reason.empty());
  EXPECT_EQ(done.reply, "{\"x\":1}");
  EXPECT_FALSE(is_set(done.next_poll_at));
}

TEST(lifecycle, completed_without_a_link_is_not_the_end_yet) {
  job early = said(job_state::completed);
  early.has_link = false;
  task t = in(task_state::queued);
  const task more = advance(t, event::polled{early, "{}"}, t0, {}, 0);
  EXPECT_EQ(more.state, task_state::dreaming);
  EXPECT_TRUE(is_set(more.next_poll_at));
  EXPECT_EQ(advance(t, event::polled{early, "{}"}, t.deadline, {}, 0).state, task_state::completed)
      << "it is what it is";
}

TEST(lifecycle, the_upstreams_reason_reaches_the_client) {
  const task t = advance(in(task_state::dreaming),
                         event::polled{said(job_state::failed, "Frame moderation failed"), "{}"}, t0, {}, 0);
  EXPECT_EQ(t.fail_reason, "Frame moderation failed");
}

TEST(lifecycle, jitter_spreads_down_by_a_quarter_at_most) {
  policy p;
  p.poll_interval = milliseconds(4000);
  const auto delay = [&](double jitter) {
    return advance(in(task_state::queued), event::polled{said(job_state::queued), "{}"}, t0, p, jitter)
               .next_poll_at -
           t0;
  };
  EXPECT_EQ(delay(0), milliseconds(4000));
  EXPECT_EQ(delay(0.5), milliseconds(3500));
  EXPECT_GT(delay(0.999), milliseconds(3000));
}

}  // namespace
}  // namespace relay
