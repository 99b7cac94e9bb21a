// Every state and every event, as a matrix.

#include "common/engine/lifecycle.hpp"

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
  if (s == task_state::queued || s == task_state::running) {
    t.upstream_id = "u-1";
    t.next_poll_at = t0;
    t.started_at = t0;
  }
  if (is_terminal(s)) t.finished_at = t0;
  return t;
}

// Submitted, and the answer was lost a minute ago; the client wants callbacks.
task lost() {
  task t = in(task_state::submitting);
  t.ambiguous_at = t0 - std::chrono::minutes(2);
  t.attempted_at = t.ambiguous_at - std::chrono::seconds(30);
  t.next_reconcile_at = t0;
  return t;
}

task with_callback(task_state s) {
  task t = in(s);
  t.callback_url = "https://client.example.com/hook";
  return t;
}

struct named_event {
  std::string name;
  task_event e;
};

const named_event events[] = {
    {"submit_started", event::submit_started{"b", "m"}},
    {"accepted", event::accepted{said(job_state::queued), "{}"}},
    {"rejected", event::rejected{400, "no"}},
    {"unavailable", event::unavailable{}},
    {"outcome_unknown", event::outcome_unknown{}},
    {"interrupted", event::interrupted{}},
    {"found", event::found{said(job_state::running), "{}"}},
    {"found_held", event::found_held{"b", "m", said(job_state::running), "{}"}},
    {"released", event::released{}},
    {"absent", event::absent{t0, true}},
    {"lookup_failed", event::lookup_failed{}},
    {"submit_expired", event::submit_expired{}},
    {"cancelled", event::cancelled{}},
    {"deleted", event::deleted{}},
    {"removed", event::removed{}},
    {"removal_failed", event::removal_failed{}},
    {"polled_queued", event::polled{said(job_state::queued), "{}"}},
    {"polled_running", event::polled{said(job_state::running), "{}"}},
    {"polled_completed", event::polled{said(job_state::completed), "{}"}},
    {"polled_failed", event::polled{said(job_state::failed, "why"), "{}"}},
    {"polled_unknown", event::polled{said(job_state::unknown), "{}"}},
    {"poll_failed", event::poll_failed{}},
    {"called", event::called{}},
    {"delivered", event::delivered{}},
    {"delivery_failed", event::delivery_failed{"no", false, {}}},
    {"callback_asked", event::callback_requested{}},
};

// What each event makes of each state: pending, submitting, queued, running, completed, failed, and
// submitting with the answer lost. "-" means that the task is unchanged, to the last field.
const std::map<std::string, std::array<std::string, 7>> expected = {
    {"submit_started", {"submitting", "-", "-", "-", "-", "-", "-"}},
    {"accepted", {"-", "queued", "-", "-", "-", "-", "queued"}},
    {"rejected", {"-", "failed", "-", "-", "-", "-", "failed"}},
    {"unavailable", {"pending", "pending", "-", "-", "-", "-", "-"}},
    {"outcome_unknown", {"-", "submitting", "-", "-", "-", "-", "-"}},
    {"interrupted", {"-", "submitting", "-", "-", "-", "-", "-"}},
    {"found", {"-", "-", "-", "-", "-", "-", "running"}},
    {"found_held", {"-", "-", "-", "-", "-", "-", "-"}},
    {"released", {"-", "-", "-", "-", "-", "-", "-"}},
    {"absent", {"-", "-", "-", "-", "-", "-", "submitting"}},
    {"lookup_failed", {"-", "-", "-", "-", "-", "-", "submitting"}},
    {"submit_expired", {"failed", "-", "-", "-", "-", "-", "-"}},
    {"cancelled", {"failed", "submitting", "-", "-", "-", "-", "submitting"}},
    {"deleted", {"failed", "submitting", "queued", "running", "completed", "failed", "submitting"}},
    {"removed", {"-", "-", "-", "-", "-", "-", "-"}},
    {"removal_failed", {"-", "-", "-", "-", "-", "-", "-"}},
    {"polled_queued", {"-", "-", "queued", "running", "-", "-", "-"}},
    {"polled_running", {"-", "-", "running", "running", "-", "-", "-"}},
    {"polled_completed", {"-", "-", "completed", "completed", "-", "-", "-"}},
    {"polled_failed", {"-", "-", "failed", "failed", "-", "-", "-"}},
    {"polled_unknown", {"-", "-", "queued", "running", "-", "-", "-"}},
    {"poll_failed", {"-", "-", "queued", "running", "-", "-", "-"}},
    {"called", {"-", "-", "queued", "running", "-", "-", "submitting"}},
    {"delivered", {"-", "-", "-", "-", "-", "-", "-"}},
    {"delivery_failed", {"-", "-", "-", "-", "-", "-", "-"}},
    {"callback_asked", {"-", "-", "-", "-", "-", "-", "-"}},
};

// The end of an earlier attempt that comes late changes nothing.
TEST(lifecycle, an_outcome_belongs_to_its_attempt) {
  const task_event started = event::submit_started{"b", "m", "second", "process"};
  const task now_sending = advance(in(task_state::pending), started, t0, {}, 0.5);
  ASSERT_EQ(now_sending.attempt_id, "second");
  for (const std::string& attempt : {"", "first", "second"}) {
    const task_event outcomes[] = {
        event::accepted{said(job_state::queued), "{}", attempt}, event::rejected{400, "no", attempt},
        event::unavailable{{}, false, attempt}, event::outcome_unknown{attempt}, event::interrupted{attempt}};
    for (const task_event& e : outcomes) {
      const bool changed = advance(now_sending, e, t0, {}, 0.5) != now_sending;
      EXPECT_EQ(changed, attempt == "second") << attempt << ", outcome " << e.index();
    }
  }
}

TEST(lifecycle, every_state_and_every_event) {
  const policy p;
  const timestamp now = t0 + std::chrono::seconds(1);
  for (const named_event& e : events) {
    for (std::size_t i = 0; i <= std::size(all_states); ++i) {
      const bool is_lost = i == std::size(all_states);
      const task before = is_lost ? lost() : in(all_states[i]);
      const task after = advance(before, e.e, now, p, 0.5);
      const std::string& want = expected.at(e.name)[i];
      const std::string where = e.name + " in " + (is_lost ? "lost" : std::string(name_of(all_states[i])));
      if (want == "-") {
        EXPECT_EQ(after, before) << where;
        continue;
      }
      EXPECT_EQ(name_of(after.state), want) << where;
      EXPECT_NE(after, before) << where;
      EXPECT_EQ(after.updated_at, e.name == "called" ? before.updated_at : now) << where;
      EXPECT_EQ(after.revision, before.revision) << where;
      EXPECT_EQ(is_set(after.finished_at), is_terminal(after.state)) << where;
      // Rule M5: what is not terminal is on a schedule and has a deadline; what is terminal is on none.
      if (is_terminal(after.state)) {
        EXPECT_EQ(after.finished_at, is_terminal(before.state) ? before.finished_at : now) << where;
        EXPECT_FALSE(is_set(after.next_submit_at) || is_set(after.next_poll_at) ||
                     is_set(after.next_reconcile_at))
            << where;
      } else if (after.state == task_state::submitting) {
        EXPECT_EQ(is_ambiguous(after), is_set(after.next_reconcile_at)) << where;
        EXPECT_TRUE(is_ambiguous(after) || e.name == "submit_started" || e.name == "cancelled" ||
                    e.name == "deleted")
            << where;
      } else {
        EXPECT_TRUE(is_set(after.next_submit_at) != is_set(after.next_poll_at)) << where;
        EXPECT_TRUE(is_set(after.deadline)) << where;
      }
    }
  }
}

TEST(lifecycle, a_poll_without_news_changes_the_schedule_alone) {
  const policy p;
  const event::polled queued{said(job_state::queued), R"({"state":"queued"})"};
  const task first = advance(in(task_state::queued), queued, t0, p, 0.5);
  const auto later = [&](const task_event& e) {
    return only_polled_later(first, advance(first, e, t0 + std::chrono::seconds(3), p, 0.2));
  };
  EXPECT_TRUE(later(queued));
  EXPECT_FALSE(later(event::polled{said(job_state::queued), R"({"state":"queued","eta":1})"}))
      << "another reply";
  EXPECT_FALSE(later(event::polled{said(job_state::running), queued.reply})) << "another state";
  EXPECT_FALSE(later(event::polled{said(job_state::completed), queued.reply}));
  EXPECT_FALSE(later(event::poll_failed{})) << "it is counted";
  task progress = first;
  progress.progress = 5;
  EXPECT_FALSE(only_polled_later(first, progress));
  EXPECT_FALSE(only_polled_later(first, advance(first, queued, first.deadline, p, 0))) << "the deadline";
}

// What an upstream may have goes on; what it does not have goes out no more.
TEST(lifecycle, one_that_is_cancelled_while_it_is_submitted_is_not_submitted_again) {
  const policy p;
  const task sending = advance(in(task_state::submitting), event::cancelled{}, t0, p, 0);
  ASSERT_EQ(sending.state, task_state::submitting);
  EXPECT_EQ(sending.cancelled_at, t0);
  EXPECT_EQ(advance(sending, event::cancelled{}, t0 + std::chrono::seconds(1), p, 0), sending) << "once";
  EXPECT_EQ(advance(sending, event::accepted{said(job_state::queued), "{}"}, t0, p, 0).state,
            task_state::queued);
  const task refused = advance(sending, event::unavailable{}, t0, p, 0);
  EXPECT_EQ(refused.state, task_state::failed);
  EXPECT_EQ(refused.fail_reason, "Cancelled by the operator before it was submitted again");
  EXPECT_FALSE(is_set(refused.cancelled_at));

  const task gone = advance(lost(), event::cancelled{}, t0, p, 0);
  EXPECT_TRUE(is_ambiguous(gone)) << "it is looked up";
  EXPECT_EQ(advance(gone, event::found{said(job_state::running), "{}"}, t0, p, 0).state, task_state::running);
  task proven = gone;
  const timestamp later = gone.ambiguous_at + 10 * p.settle;
  proven.absent_at = later - 5 * p.settle;
  EXPECT_EQ(advance(proven, event::absent{later, true}, later, p, 0).state, task_state::failed);
  proven.cancelled_at = never;
  EXPECT_EQ(advance(proven, event::absent{later, true}, later, p, 0).state, task_state::pending);
}

// Neither the job nor the client's key is the cause.
TEST(lifecycle, an_account_that_is_refused_is_said_to_be_the_relays) {
  const policy p;
  const std::string own = "The relay's own account upstream was refused";
  const auto reason = [&](const task& t, const task_event& e) {
    return advance(t, e, t.deadline, p, 0).fail_reason;
  };
  EXPECT_TRUE(reason(in(task_state::pending), event::submit_expired{true}).starts_with(own));
  EXPECT_FALSE(reason(in(task_state::pending), event::submit_expired{false}).starts_with(own));
  event::unavailable refused;
  refused.accounts_refused = true;
  EXPECT_TRUE(reason(in(task_state::submitting), refused).starts_with(own));
  EXPECT_FALSE(reason(in(task_state::submitting), event::unavailable{}).starts_with(own));
}

// Its client sees it no more. An upstream that has it is polled on; a job that none has is not submitted.
TEST(lifecycle, what_is_deleted_is_followed_and_told_to_nobody) {
  const policy p;
  task t = in(task_state::queued);
  t.callback_url = "https://client.example/hook";
  t.pending_callbacks = "r";
  t.next_callback_at = t0;
  t = advance(t, event::deleted{}, t0, p, 0);
  EXPECT_EQ(t.deleted_at, t0);
  EXPECT_FALSE(is_shown_to(t, t.owner));
  EXPECT_EQ(t.pending_callbacks, "");
  EXPECT_FALSE(is_set(t.next_callback_at));
  EXPECT_EQ(advance(t, event::deleted{}, t0 + std::chrono::seconds(1), p, 0), t) << "once";
  const task done = advance(t, event::polled{said(job_state::completed), "{}"}, t0, p, 0);
  EXPECT_EQ(done.state, task_state::completed);
  EXPECT_EQ(done.pending_callbacks, "");
  EXPECT_EQ(advance(done, event::callback_requested{}, t0, p, 0), done) << "not by an operator either";

  const task sending = advance(in(task_state::submitting), event::deleted{}, t0, p, 0);
  EXPECT_EQ(advance(sending, event::accepted{said(job_state::queued), "{}"}, t0, p, 0).state,
            task_state::queued);
  const task refused = advance(sending, event::unavailable{}, t0, p, 0);
  EXPECT_EQ(refused.state, task_state::failed);
  EXPECT_EQ(refused.fail_reason, "Deleted before it was submitted again");
  EXPECT_EQ(advance(in(task_state::pending), event::deleted{}, t0, p, 0).fail_reason,
            "Deleted before it was submitted");
}

TEST(lifecycle, what_is_deleted_is_deleted_at_its_upstream_after_its_end) {
  policy p;
  p.remove_at_upstream = true;
  const auto later = [](int seconds) { return t0 + std::chrono::seconds(seconds); };
  // 1. Deleted while it runs: at its end. 2. After its end: at once.
  task running = in(task_state::running);
  running.upstream_id = "u-1";
  running = advance(running, event::deleted{}, later(1), p, 0);
  EXPECT_FALSE(is_set(running.next_remove_at)) << "it has not ended";
  task over = advance(running, event::polled{said(job_state::completed), "{}"}, later(2), p, 0);
  EXPECT_EQ(over.next_remove_at, later(2));
  task done = in(task_state::completed);
  done.upstream_id = "u-1";
  EXPECT_EQ(advance(done, event::deleted{}, later(3), p, 0).next_remove_at, later(3));
  // 3. One that is still polled has not ended there.
  task late = running;
  late.deadline = later(2);
  late = advance(late, event::poll_failed{}, later(2), p, 0);
  ASSERT_EQ(late.state, task_state::failed);
  EXPECT_FALSE(is_set(late.next_remove_at));
  late = advance(late, event::polled{said(job_state::failed), "{}"}, later(3), p, 0);
  EXPECT_EQ(late.next_remove_at, later(3));
  // 4. Not one that no upstream has, nor when it is not wanted, nor what nobody deleted.
  EXPECT_FALSE(is_set(advance(in(task_state::pending), event::deleted{}, t0, p, 0).next_remove_at));
  EXPECT_FALSE(is_set(advance(done, event::deleted{}, t0, {}, 0).next_remove_at));
  EXPECT_FALSE(
      is_set(advance(running, event::polled{said(job_state::completed), "{}"}, t0, {}, 0).next_remove_at));
  // 5. Again after a failure, ever more seldom, for three days; once it is done, for good.
  over = advance(over, event::removal_failed{}, later(3), p, 0);
  EXPECT_EQ(over.next_remove_at, later(13));
  EXPECT_EQ(advance(over, event::removal_failed{}, later(602), p, 0).next_remove_at, later(1202));
  EXPECT_EQ(advance(over, event::removal_failed{}, later(90'000), p, 0).next_remove_at, later(93'600));
  EXPECT_FALSE(is_set(advance(over, event::removal_failed{}, later(4 * 86'400), p, 0).next_remove_at));
  const task removed = advance(over, event::removed{}, later(14), p, 0);
  EXPECT_FALSE(is_set(removed.next_remove_at));
  EXPECT_EQ(advance(removed, event::removed{}, later(15), p, 0), removed);
  EXPECT_EQ(advance(removed, event::removal_failed{}, later(15), p, 0), removed);
  EXPECT_EQ(advance(removed, event::deleted{}, later(16), p, 0), removed);
}

TEST(lifecycle, a_start_names_the_upstream_and_counts) {
  const task t = advance(in(task_state::pending), event::submit_started{"b", "m"}, t0, {}, 0);
  EXPECT_EQ(t.upstream, "b");
  EXPECT_EQ(t.marker, "m");
  EXPECT_EQ(t.attempted_at, t0);
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
  task t = in(task_state::running);
  const int seconds[] = {6, 12, 20, 20};
  for (const int s : seconds) {
    t = advance(t, event::poll_failed{}, t0, p, 0);
    EXPECT_EQ(t.state, task_state::running);
    EXPECT_EQ(t.next_poll_at, t0 + std::chrono::seconds(s));
  }
  const task put_off = advance(t, event::poll_failed{.retry_after = std::chrono::seconds(90)}, t0, p, 0);
  EXPECT_EQ(put_off.next_poll_at, t0 + std::chrono::seconds(90)) << "Retry-After is obeyed";
  t.deadline = t0 + std::chrono::seconds(5);  // the last question is asked at the deadline, not after it
  EXPECT_EQ(advance(t, event::poll_failed{}, t0, p, 0).next_poll_at, t.deadline);
  EXPECT_EQ(advance(t, event::poll_failed{}, t.deadline, p, 0).state, task_state::failed);
}

// Rule M9: 404 is not gone.
TEST(lifecycle, many_404s_in_a_row_over_minutes_end_a_job) {
  policy p;
  p.not_found_limit = 3;
  p.not_found_for = std::chrono::minutes(3);
  task t = in(task_state::queued);
  const task_event gone = event::poll_failed{.not_found = true, .confirmed = true};
  const auto at = [](int minutes) { return t0 + std::chrono::minutes(minutes); };
  t.deadline = at(60);
  t = advance(t, gone, at(0), p, 0);
  t = advance(t, gone, at(1), p, 0);
  t = advance(t, event::poll_failed{}, at(2), p, 0);  // not in a row any more
  for (const int minute : {3, 4, 5}) t = advance(t, gone, at(minute), p, 0);
  EXPECT_EQ(t.state, task_state::queued) << "often enough, not long enough";
  task once = advance(in(task_state::queued), gone, at(0), p, 0);
  once.deadline = at(60);
  EXPECT_EQ(advance(once, gone, at(30), p, 0).state, task_state::queued) << "long enough, not often enough";
  EXPECT_EQ(advance(t, event::poll_failed{.not_found = true}, at(6), p, 0).state, task_state::queued)
      << "the list was not looked at";
  t = advance(t, gone, at(6), p, 0);
  EXPECT_EQ(t.state, task_state::failed);
  EXPECT_EQ(t.fail_reason, "The upstream no longer knows the job");
  // It is asked about on.
  EXPECT_EQ(t.next_poll_at, at(6) + p.late_interval);
  EXPECT_EQ(advance(t, gone, at(16), p, 0).next_poll_at, at(16) + p.late_interval);
  const task back = advance(t, event::polled{said(job_state::running), "{}"}, at(16), p, 0);
  EXPECT_EQ(back.state, task_state::failed) << "to the client, until it is completed";
  EXPECT_EQ(back.next_poll_at, at(16) + p.poll_interval) << "at work, it is polled at the usual pace";
  EXPECT_EQ(advance(back, event::polled{said(job_state::completed), "{}"}, at(17), p, 0).state,
            task_state::completed);
}

TEST(lifecycle, a_response_forgives_earlier_misses) {
  task t = in(task_state::queued);
  t.misses = 4;
  t.not_found = 4;
  t = advance(t, event::polled{said(job_state::queued), "{}"}, t0, {}, 0);
  EXPECT_EQ(t.misses, 0);
  EXPECT_EQ(t.not_found, 0);
}

TEST(lifecycle, the_deadline_of_a_job) {
  task t = in(task_state::running);
  const task late = advance(t, event::polled{said(job_state::running), "{}"}, t.deadline, {}, 0);
  EXPECT_EQ(late.state, task_state::failed);
  // The last question may still bring the good news.
  EXPECT_EQ(advance(t, event::polled{said(job_state::completed), "{}"}, t.deadline, {}, 0).state,
            task_state::completed);
}

TEST(lifecycle, a_late_success_is_recorded) {
  policy p;
  task t = in(task_state::running);
  t.started_at = t.deadline - job_deadline(p, t.action);
  t = advance(t, event::polled{said(job_state::running), "{}"}, t.deadline, p, 0);
  ASSERT_EQ(t.state, task_state::failed);
  EXPECT_EQ(t.next_poll_at, t.finished_at + p.late_interval) << "it is asked about on";
  const timestamp later = t.next_poll_at;
  for (const task_event& e :
       {task_event(event::polled{said(job_state::running), "{}"}), task_event(event::poll_failed{})}) {
    const task still = advance(t, e, later, p, 0);
    EXPECT_EQ(still.state, task_state::failed);
    EXPECT_EQ(still.fail_reason, "The job did not end within the time allowed");
    EXPECT_EQ(still.next_poll_at, later + p.late_interval);
    EXPECT_FALSE(is_set(advance(t, e, t.deadline, p, 0).next_poll_at)) << "not for ever";
  }
  const task over = advance(t, event::polled{said(job_state::failed, "x"), "{}"}, later, p, 0);
  EXPECT_EQ(over.fail_reason, "The job did not end within the time allowed");
  EXPECT_FALSE(is_set(over.next_poll_at)) << "a failure is its end";
  job empty = said(job_state::completed);
  empty.has_result = false;
  EXPECT_EQ(advance(t, event::polled{empty, "{}"}, later, p, 0).state, task_state::failed)
      << "a word, no result";
  const task done = advance(t, event::polled{said(job_state::completed), "{\"x\":1}"}, later, p, 0);
  EXPECT_EQ(done.state, task_state::completed);
  EXPECT_TRUE(done.fail_reason.empty());
  EXPECT_EQ(done.reply, "{\"x\":1}");
  EXPECT_FALSE(is_set(done.next_poll_at));
}

TEST(lifecycle, completed_without_a_link_is_not_the_end_yet) {
  job early = said(job_state::completed);
  early.has_result = false;
  task t = in(task_state::queued);
  const task more = advance(t, event::polled{early, "{}"}, t0, {}, 0);
  EXPECT_EQ(more.state, task_state::running);
  EXPECT_TRUE(is_set(more.next_poll_at));
  EXPECT_EQ(advance(t, event::polled{early, "{}"}, t.deadline, {}, 0).state, task_state::completed)
      << "it is what it is";
}

TEST(lifecycle, the_upstreams_reason_reaches_the_client) {
  const task t = advance(in(task_state::running),
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

TEST(lifecycle, a_lost_response_is_looked_up_until_it_has_settled) {
  policy p;
  p.settle = std::chrono::seconds(60);
  p.reconcile_retry = std::chrono::seconds(2);
  task t = advance(in(task_state::submitting), event::outcome_unknown{}, t0, p, 0);
  EXPECT_EQ(t.ambiguous_at, t0);
  EXPECT_EQ(t.next_reconcile_at, t0 + std::chrono::seconds(2));
  // A list from before it has settled proves nothing, however sure it is.
  timestamp now = t.next_reconcile_at;
  int looks = 0;
  while (now < t0 + p.settle) {
    t = advance(t, event::absent{now, true}, now, p, 0);
    ASSERT_EQ(t.state, task_state::submitting);
    ASSERT_GT(t.next_reconcile_at, now);
    now = t.next_reconcile_at;
    ++looks;
  }
  EXPECT_EQ(now, t0 + p.settle) << "the look that counts is not put off";
  EXPECT_EQ(looks, 4);
  // One that was asked for before, and answered after, proves nothing either.
  EXPECT_EQ(advance(t, event::absent{now - std::chrono::seconds(1), true}, now, p, 0).state,
            task_state::submitting);
}

// Rule M10: one list may be stale, or the upstream be late to create the job.
TEST(lifecycle, absence_takes_two_lists_a_settling_time_apart) {
  policy p;
  p.settle = std::chrono::seconds(60);
  task first = advance(in(task_state::submitting), event::outcome_unknown{}, t0, p, 0);
  first.deadline = t0 + std::chrono::hours(1);
  const timestamp now = t0 + p.settle;
  first = advance(first, event::absent{now, true}, now, p, 0);
  ASSERT_EQ(first.state, task_state::submitting);
  EXPECT_EQ(first.absent_at, now);
  // Looks in between show nothing new; they may find it.
  task t = first;
  for (timestamp at = t.next_reconcile_at; at < now + p.settle; at = t.next_reconcile_at) {
    t = advance(t, event::absent{at, true}, at, p, 0);
    ASSERT_EQ(t.state, task_state::submitting);
    ASSERT_GT(t.next_reconcile_at, at);
    ASSERT_EQ(t.absent_at, now);
  }
  EXPECT_EQ(t.next_reconcile_at, now + p.settle) << "the look that counts is not put off";
  const timestamp second = now + p.settle;
  const task again = advance(t, event::absent{second, true}, second, p, 0);
  EXPECT_EQ(again.state, task_state::pending);
  EXPECT_EQ(again.next_submit_at, second);
  EXPECT_FALSE(is_set(again.ambiguous_at) || is_set(again.next_reconcile_at) || is_set(again.absent_at));
  // A list that would not show it takes the worth of the first.
  const task stale = advance(t, event::absent{second, false}, second, p, 0);
  EXPECT_EQ(stale.state, task_state::submitting);
  EXPECT_FALSE(is_set(stale.absent_at));
  EXPECT_EQ(advance(stale, event::absent{second, true}, second, p, 0).state, task_state::submitting);
  // None of them does by the end of the search.
  const timestamp end = t0 + p.reconcile_for;
  EXPECT_EQ(advance(stale, event::absent{end, false}, end, p, 0).state, task_state::failed);
}

// Rule M9: "failed" is not the end of looking.
TEST(lifecycle, what_was_lost_is_looked_for_a_day_more) {
  policy p;
  task t = lost();
  t.callback_url = "https://client.example.com/hook";
  t.misses = 3;
  const timestamp end = t.ambiguous_at + p.reconcile_for;
  t = advance(t, event::absent{end, false}, end, p, 0);
  ASSERT_EQ(t.state, task_state::failed);
  ASSERT_TRUE(is_looked_up_late(t));
  EXPECT_EQ(t.pending_callbacks, "f");
  EXPECT_EQ(t.next_reconcile_at, end + p.late_interval);
  t = advance(t, event::delivered{}, end, p, 0);
  // Nothing yet; the list fails; nothing yet, until the day is over.
  const timestamp later = t.next_reconcile_at;
  for (const task_event& e : {task_event(event::absent{later, true}), task_event(event::lookup_failed{})}) {
    const task still = advance(t, e, later, p, 0);
    EXPECT_EQ(still.state, task_state::failed) << "never submitted again";
    EXPECT_EQ(still.next_reconcile_at, later + p.late_interval);
    const task over = advance(t, e, t.deadline, p, 0);
    EXPECT_FALSE(is_set(over.next_reconcile_at) || is_looked_up_late(over));
  }
  // Without a list only a callback of the upstream's can name it.
  EXPECT_EQ(advance(t, event::lookup_failed{true, {}}, later, p, 0).next_reconcile_at, t.deadline);
  // Found: it is followed, and to its client it has failed until it is completed.
  task found = advance(t, event::found{said(job_state::running), "{}"}, later, p, 0);
  EXPECT_EQ(found.state, task_state::failed);
  EXPECT_EQ(found.upstream_id, "u-1");
  EXPECT_EQ(found.next_poll_at, later);
  EXPECT_FALSE(is_set(found.next_reconcile_at) || is_looked_up_late(found));
  EXPECT_TRUE(found.pending_callbacks.empty());
  found = advance(found, event::polled{said(job_state::running), "{}"}, later, p, 0);
  EXPECT_EQ(found.next_poll_at, later + p.poll_interval);
  const task done = advance(found, event::polled{said(job_state::completed), "{}"}, found.next_poll_at, p, 0);
  EXPECT_EQ(done.state, task_state::completed);
  EXPECT_EQ(done.pending_callbacks, "c");
}

// A station has no list, but it was given an address: it may call there.
TEST(lifecycle, without_a_list_the_upstreams_callback_is_waited_for) {
  policy p;
  task t = lost();
  t.marker = "m";
  t.deadline = t0 + std::chrono::hours(1);
  const task_event no_list = event::lookup_failed{true, {}};
  const timestamp end = t.ambiguous_at + p.reconcile_for;
  const task waiting = advance(t, no_list, t0, p, 0);
  EXPECT_EQ(waiting.state, task_state::submitting);
  EXPECT_EQ(waiting.next_reconcile_at, end);
  EXPECT_EQ(advance(waiting, event::found{said(job_state::running), "{}"}, t0, p, 0).state,
            task_state::running);
  const task failed = advance(waiting, no_list, end, p, 0);
  EXPECT_EQ(failed.state, task_state::failed);
  EXPECT_TRUE(is_looked_up_late(failed));
  t.marker.clear();
  EXPECT_EQ(advance(t, no_list, t0, p, 0).state, task_state::failed) << "it was given no address";
}

TEST(lifecycle, not_found_is_not_the_same_as_not_created) {
  struct {
    on_ambiguous set;
    bool proven;
    task_state want;
  } const table[] = {
      {on_ambiguous::prove, true, task_state::pending},
      {on_ambiguous::prove, false, task_state::failed},
      {on_ambiguous::fail, true, task_state::failed},
      {on_ambiguous::fail, false, task_state::failed},
      {on_ambiguous::resubmit, true, task_state::pending},
      {on_ambiguous::resubmit, false, task_state::pending},
  };
  for (const auto& row : table) {
    policy p;
    p.ambiguous = row.set;
    const task before = [&] {
      task l = lost();
      if (row.proven) l.absent_at = t0 - p.settle;  // and one list has shown it before
      return l;
    }();
    task t = advance(before, event::absent{t0, row.proven}, t0, p, 0);
    if (!row.proven &&
        row.set != on_ambiguous::resubmit) {  // it may still show: it is looked for as long as it takes
      EXPECT_EQ(t.state, task_state::submitting);
      EXPECT_GT(t.next_reconcile_at, t0);
      t = lost();
      const timestamp end = t.ambiguous_at + p.reconcile_for;
      t.deadline = end + std::chrono::hours(1);
      // A relay that was down all the while has not looked yet.
      for (int looks = 0; looks < 3; ++looks) {
        t = advance(t, event::absent{end, false}, end, p, 0);
        EXPECT_EQ(t.state, task_state::submitting) << looks;
      }
      t = advance(t, event::absent{end, false}, end, p, 0);
    }
    EXPECT_EQ(t.state, row.want) << static_cast<int>(row.set) << row.proven;
    if (t.state == task_state::failed) {
      EXPECT_NE(t.fail_reason.find("answer to the submission was lost"), std::string::npos);
    }
    // However it is set up, what is found is adopted.
    const task adopted = advance(lost(), event::found{said(job_state::queued), "{}"}, t0, p, 0);
    EXPECT_EQ(adopted.state, task_state::queued);
    EXPECT_EQ(adopted.upstream_id, "u-1");
    EXPECT_TRUE(is_set(adopted.next_poll_at));
  }
  task late = lost();
  late.absent_at = t0 - std::chrono::minutes(1);
  late.deadline = t0;
  EXPECT_EQ(advance(late, event::absent{t0, true}, t0, {}, 0).state, task_state::failed);
}

TEST(lifecycle, a_list_that_cannot_be_read_is_requested_again_for_a_while) {
  policy p;
  p.reconcile_for = std::chrono::minutes(10);
  task t = lost();
  const task later = advance(t, event::lookup_failed{false, milliseconds(90'000)}, t0, p, 0);
  EXPECT_EQ(later.state, task_state::submitting);
  EXPECT_EQ(later.next_reconcile_at, t0 + std::chrono::seconds(90)) << "Retry-After is obeyed";
  // A relay that was down all the while has not looked yet.
  const timestamp end = t.ambiguous_at + p.reconcile_for;
  task down = advance(t, event::lookup_failed{}, end, p, 0);
  EXPECT_EQ(down.state, task_state::submitting);
  down = advance(advance(down, event::lookup_failed{}, end, p, 0), event::lookup_failed{}, end, p, 0);
  EXPECT_EQ(down.state, task_state::submitting);
  EXPECT_EQ(advance(down, event::lookup_failed{}, end, p, 0).state, task_state::failed);
  EXPECT_EQ(advance(t, event::lookup_failed{true, {}}, t0, p, 0).state, task_state::failed);
}

TEST(lifecycle, trouble_of_the_whole_upstream_leaves_a_task_its_place) {
  task t = in(task_state::submitting);
  t.created_at = t0 - std::chrono::minutes(1);
  const task waiting = advance(t, event::unavailable{{}, true}, t0, {}, 0);
  EXPECT_EQ(waiting.state, task_state::pending);
  EXPECT_EQ(waiting.next_submit_at, t.created_at);
  t.attempts = 4;
  EXPECT_EQ(advance(t, event::unavailable{{}, true}, t0, {}, 0).next_submit_at, t0) << "others get a turn";
}

TEST(lifecycle, what_the_client_is_still_to_be_sent) {
  struct {
    const char* what;
    task before;
    task_event e;
    const char* pending;
  } const table[] = {
      {"dreams", with_callback(task_state::queued), event::polled{said(job_state::running), "{}"}, "r"},
      {"dreams on", with_callback(task_state::running), event::polled{said(job_state::running), "{}"}, ""},
      {"ends", with_callback(task_state::running), event::polled{said(job_state::completed), "{}"}, "c"},
      {"fails", with_callback(task_state::queued), event::polled{said(job_state::failed), "{}"}, "f"},
      {"refused", with_callback(task_state::submitting), event::rejected{400, "no"}, "f"},
      {"is accepted", with_callback(task_state::submitting), event::accepted{said(job_state::queued), "{}"},
       ""},
      {"dreams at once", with_callback(task_state::submitting),
       event::accepted{said(job_state::running), "{}"}, "r"},
      {"no address", in(task_state::queued), event::polled{said(job_state::completed), "{}"}, ""},
  };
  for (const auto& row : table) {
    const task t = advance(row.before, row.e, t0, {}, 0);
    EXPECT_EQ(t.pending_callbacks, row.pending) << row.what;
    EXPECT_EQ(t.next_callback_at, t.pending_callbacks.empty() ? never : t0) << row.what;
  }
  task unusable = in(task_state::queued);
  unusable.callback_url = "xxx";
  EXPECT_TRUE(advance(unusable, event::polled{said(job_state::completed), "{}"}, t0, {}, 0)
                  .pending_callbacks.empty());
}

TEST(lifecycle, callbacks_are_delivered_one_after_the_other) {
  const auto done = event::polled{said(job_state::completed), "{}"};
  task t =
      advance(with_callback(task_state::queued), event::polled{said(job_state::running), "{}"}, t0, {}, 0);
  t = advance(t, done, t0, {}, 0);
  EXPECT_EQ(t.pending_callbacks, "rc");
  t = advance(t, event::delivered{}, t0 + std::chrono::seconds(5), {}, 0);
  EXPECT_EQ(t.pending_callbacks, "c");
  EXPECT_EQ(t.callbacks_done, 1);
  EXPECT_EQ(t.next_callback_at, t0 + std::chrono::seconds(5));
  EXPECT_EQ(advance(t, event::delivered{0}, t0, {}, 0), t)
      << "said twice: the next one is not delivered by it";
  t = advance(t, event::delivered{1}, t0 + std::chrono::seconds(6), {}, 0);
  EXPECT_TRUE(t.pending_callbacks.empty());
  EXPECT_FALSE(is_set(t.next_callback_at));
}

TEST(lifecycle, the_end_does_not_wait_behind_a_callback_that_is_refused) {
  const auto done = event::polled{said(job_state::completed), "{}"};
  const auto refused = event::delivery_failed{"refused", false, {}};
  const task dreams =
      advance(with_callback(task_state::queued), event::polled{said(job_state::running), "{}"}, t0, {}, 0);
  // Refused before the end came.
  task t = advance(dreams, refused, t0, {}, 0);
  EXPECT_EQ(t.next_callback_at, t0 + std::chrono::seconds(5));
  t = advance(t, done, t0 + std::chrono::seconds(1), {}, 0);
  EXPECT_EQ(t.pending_callbacks, "c");
  EXPECT_EQ(t.callbacks_done, 1) << "ids of messages are not used twice";
  EXPECT_EQ(t.callback_attempts, 0);
  EXPECT_EQ(t.next_callback_at, t0 + std::chrono::seconds(1));
  // Refused after it.
  t = advance(advance(dreams, done, t0, {}, 0), refused, t0 + std::chrono::seconds(1), {}, 0);
  EXPECT_EQ(t.pending_callbacks, "c");
  EXPECT_EQ(t.next_callback_at, t0 + std::chrono::seconds(1));
}

TEST(lifecycle, a_callback_is_tried_on_the_schedule_and_then_given_up) {
  policy p;
  task t = with_callback(task_state::completed);
  t.pending_callbacks = "c";
  t.next_callback_at = t0;
  for (const milliseconds wait : p.callback_retries) {
    const timestamp now = t.next_callback_at;
    EXPECT_LE(advance(t, event::delivery_failed{"no", false, {}}, now, p, 0.999).next_callback_at,
              now + wait + wait / 4);
    t = advance(t, event::delivery_failed{"no", false, {}}, now, p, 0);
    EXPECT_EQ(t.next_callback_at, now + wait);
  }
  t = advance(t, event::delivery_failed{"no", false, {}}, t.next_callback_at, p, 0);
  EXPECT_TRUE(t.pending_callbacks.empty());
  EXPECT_FALSE(is_set(t.next_callback_at));
  EXPECT_EQ(t.callback_problem, "no");
  // An operator may have it sent once more.
  t = advance(t, event::callback_requested{}, t0, p, 0);
  EXPECT_EQ(t.pending_callbacks, "c");
  EXPECT_EQ(t.next_callback_at, t0);
  const task busy =
      advance(t, event::delivery_failed{"status 503", false, milliseconds(60'000), 1}, t0, p, 0);
  EXPECT_EQ(busy.next_callback_at, t0 + std::chrono::seconds(60));
}

TEST(lifecycle, a_callback_that_is_gone_ends_them_all) {
  task t = with_callback(task_state::running);
  t.pending_callbacks = "r";
  t.next_callback_at = t0;
  t = advance(t, event::delivery_failed{"status 410", true, {}}, t0, {}, 0);
  EXPECT_TRUE(t.callback_stopped);
  EXPECT_TRUE(t.pending_callbacks.empty());
  t = advance(t, event::polled{said(job_state::completed), "{}"}, t0, {}, 0);
  EXPECT_EQ(t.state, task_state::completed);
  EXPECT_TRUE(t.pending_callbacks.empty());
}

// Rule F13: what waited in a backup goes nowhere by itself.
TEST(lifecycle, a_held_task_waits_for_its_job_to_be_found_or_for_an_operator) {
  task held = in(task_state::pending);
  held.next_submit_at = never;
  held.held_at = t0;
  for (const named_event& e : events) {
    const task after = advance(held, e.e, t0, {}, 0.5);
    if (e.name == "found_held") {
      EXPECT_EQ(after.state, task_state::running);
      EXPECT_EQ(after.upstream, "b");
      EXPECT_EQ(after.marker, "m");
      EXPECT_EQ(after.upstream_id, "u-1");
      EXPECT_FALSE(is_set(after.held_at));
    } else if (e.name == "released") {
      EXPECT_EQ(after.state, task_state::pending);
      EXPECT_EQ(after.next_submit_at, t0);
      EXPECT_FALSE(is_held(after));
    } else if (e.name == "deleted") {
      EXPECT_TRUE(is_held(after)) << "it may have been submitted since the backup was made";
      EXPECT_TRUE(is_set(after.deleted_at));
      const task released = advance(after, event::released{}, t0, policy{}, 0);
      EXPECT_EQ(released.state, task_state::failed) << "and is not submitted";
    } else if (e.name == "cancelled") {
      EXPECT_EQ(after.state, task_state::failed);
      EXPECT_FALSE(is_set(after.held_at));
    } else {
      EXPECT_EQ(after, held) << e.name;
    }
  }
}

}  // namespace
}  // namespace relay
