#include "common/lifecycle.hpp"

#include <algorithm>
#include <utility>

#include "common/backoff.hpp"

namespace relay {
namespace {

void finish(task& t, task_state state, timestamp now) {
  t.state = state;
  t.finished_at = now;
  t.next_submit_at = t.next_poll_at = never;
  t.misses = t.not_found = 0;
}

void fail_task(task& t, std::string reason, timestamp now) {
  finish(t, task_state::failed, now);
  t.fail_reason = std::move(reason);
}

// The job may still end well: it is asked about for a while, slowly.
void fail_at_deadline(task& t, timestamp now, const policy& p) {
  fail_task(t, "The job did not end within the time allowed", now);
  t.deadline = now + p.late_for;
  t.next_poll_at = now + p.late_interval;
}

bool at_upstream(const task& t) {
  return t.state == task_state::queued || t.state == task_state::dreaming;
}

// Takes over what the upstream said. A job never moves backwards: a late "queued" after "dreaming" is noise.
void follow(task& t, const job& said, const std::string& reply, timestamp now, const policy& p,
            double jitter) {
  t.reply = reply;
  t.misses = t.not_found = 0;
  if (said.progress) t.progress = *said.progress;
  // Stations say "completed" before there is a link, and clients read that as the end: not before the
  // deadline.
  const bool too_early = said.state == job_state::completed && !said.has_link && now < t.deadline;
  switch (too_early ? job_state::dreaming : said.state) {
    case job_state::completed:
      finish(t, task_state::completed, now);
      t.fail_reason.clear();
      t.progress = 100;
      return;
    case job_state::failed:
      fail_task(t,
                said.failure_reason.empty() ? "The upstream reported a failure without a reason"
                                            : said.failure_reason,
                now);
      return;
    case job_state::dreaming:
      t.state = task_state::dreaming;
      break;
    case job_state::queued:
    case job_state::unknown:
      break;
  }
  if (now >= t.deadline) {
    fail_at_deadline(t, now, p);
    return;
  }
  t.next_poll_at = now + backoff(0, p.poll_interval, p.poll_interval, jitter);
}

// Each says whether the event meant anything in the task's state.
struct step {
  task& t;
  timestamp now;
  const policy& p;
  double jitter;

  bool awaits_late_success() const { return t.state == task_state::failed && is_set(t.next_poll_at); }
  bool ask_later() const {
    t.next_poll_at = now < t.deadline ? now + p.late_interval : never;
    return true;
  }

  bool operator()(const event::submit_started& e) const {
    if (t.state != task_state::pending) return false;
    t.state = task_state::submitting;
    t.upstream = e.upstream;
    t.next_submit_at = never;
    ++t.attempts;
    return true;
  }

  bool operator()(const event::accepted& e) const {
    if (t.state != task_state::submitting) return false;
    t.state = task_state::queued;
    t.upstream_id = e.said.id;
    t.started_at = now;
    t.deadline = now + p.job_deadline;
    follow(t, e.said, e.reply, now, p, jitter);
    return true;
  }

  bool operator()(const event::rejected& e) const {
    if (t.state != task_state::submitting) return false;
    fail_task(t, e.message, now);
    t.fail_status = e.status;
    return true;
  }

  bool operator()(const event::unavailable& e) const {
    if (t.state != task_state::submitting && t.state != task_state::pending) return false;
    if (now >= t.deadline) return (*this)(event::submit_expired{});
    t.state = task_state::pending;
    const milliseconds delay = std::max(
        e.retry_after, backoff(std::max(0, t.attempts - 1), p.submit_retry, p.submit_retry_max, jitter));
    t.next_submit_at = std::min(now + delay, t.deadline);
    return true;
  }

  bool operator()(const event::outcome_unknown&) const {
    if (t.state != task_state::submitting) return false;
    fail_task(t,
              "The upstream's answer to the submission was lost. It may have created the job, so it was not "
              "submitted again",
              now);
    return true;
  }

  bool operator()(const event::interrupted&) const {
    if (t.state != task_state::submitting) return false;
    fail_task(
        t,
        "The relay stopped while it was submitting the job. The upstream may have created it, so it was not "
        "submitted again",
        now);
    return true;
  }

  bool operator()(const event::submit_expired&) const {
    if (t.state != task_state::pending && t.state != task_state::submitting) return false;
    fail_task(t, "No upstream could take the job within the time allowed", now);
    return true;
  }

  bool operator()(const event::polled& e) const {
    if (awaits_late_success() && e.said.state != job_state::completed) return ask_later();
    if (!at_upstream(t) && !awaits_late_success()) return false;
    follow(t, e.said, e.reply, now, p, jitter);
    return true;
  }

  bool operator()(const event::poll_failed& e) const {
    if (awaits_late_success()) return ask_later();
    if (!at_upstream(t)) return false;
    ++t.misses;
    t.not_found = e.not_found ? t.not_found + 1 : 0;
    if (t.not_found >= p.not_found_limit) {
      fail_task(t, "The upstream no longer knows the job", now);
      return true;
    }
    if (now >= t.deadline) {
      fail_at_deadline(t, now, p);
      return true;
    }
    const milliseconds delay =
        std::max(e.retry_after, backoff(t.misses, p.poll_interval, p.poll_retry_max, jitter));
    t.next_poll_at = std::min(now + delay, std::max(t.deadline, now + p.poll_interval));
    return true;
  }
};

}  // namespace

task advance(task t, const task_event& e, timestamp now, const policy& p, double jitter) {
  const bool changed = std::visit(step{t, now, p, jitter}, e);
  if (changed) t.updated_at = now;
  return t;
}

}  // namespace relay
