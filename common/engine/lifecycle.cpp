#include "common/engine/lifecycle.hpp"

#include <algorithm>
#include <utility>

#include "common/base/backoff.hpp"
#include "common/base/url.hpp"

namespace relay {
namespace {

void finish(task& t, task_state state, timestamp now) {
  t.state = state;
  t.finished_at = now;
  t.next_submit_at = t.next_poll_at = t.next_reconcile_at = t.ambiguous_at = never;
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
    t.marker = e.marker;
    t.attempted_at = now;
    t.next_submit_at = never;
    ++t.attempts;
    return true;
  }

  bool take_over(const job& said, const std::string& reply) const {
    t.state = task_state::queued;
    t.upstream_id = said.id;
    t.started_at = now;
    t.deadline = now + p.job_deadline;
    t.ambiguous_at = t.next_reconcile_at = never;
    follow(t, said, reply, now, p, jitter);
    return true;
  }

  bool operator()(const event::accepted& e) const {
    return t.state == task_state::submitting && take_over(e.said, e.reply);
  }

  bool operator()(const event::rejected& e) const {
    if (t.state != task_state::submitting) return false;
    fail_task(t, e.message, now);
    t.fail_status = e.status;
    return true;
  }

  bool operator()(const event::unavailable& e) const {
    if (t.state != task_state::submitting && t.state != task_state::pending) return false;
    if (is_ambiguous(t)) return false;
    if (now >= t.deadline) return (*this)(event::submit_expired{});
    t.state = task_state::pending;
    if (e.whole_upstream) {
      // It keeps its place; but if it is this task that the upstream will not have, others get a turn.
      constexpr int turns = 3;
      t.next_submit_at = t.attempts <= turns ? std::min(t.created_at, now) : now;
      return true;
    }
    const milliseconds delay = std::max(
        e.retry_after, backoff(std::max(0, t.attempts - 1), p.submit_retry, p.submit_retry_max, jitter));
    t.next_submit_at = std::min(now + delay, t.deadline);
    return true;
  }

  bool look_for_it(milliseconds after) const {
    if (t.state != task_state::submitting || is_ambiguous(t)) return false;
    t.ambiguous_at = now;
    t.misses = 0;
    t.next_reconcile_at = now + after;
    return true;
  }
  // A moment for the upstream to make up its own mind.
  bool operator()(const event::outcome_unknown&) const {
    return look_for_it(backoff(0, p.reconcile_retry, p.reconcile_retry_max, jitter));
  }
  bool operator()(const event::interrupted&) const { return look_for_it(milliseconds{0}); }

  bool operator()(const event::found& e) const { return is_ambiguous(t) && take_over(e.said, e.reply); }

  bool operator()(const event::absent& e) const {
    if (!is_ambiguous(t)) return false;
    const timestamp settled = t.ambiguous_at + p.settle;
    if (e.asked_at < settled) {
      const milliseconds delay = backoff(++t.misses, p.reconcile_retry, p.reconcile_retry_max, jitter);
      // The look that counts is soon after it has settled.
      t.next_reconcile_at = now < settled ? std::min(now + delay, settled) : now;
      return true;
    }
    // What the list cannot prove today it may still show: as long as it takes.
    if (!e.proven && p.ambiguous != on_ambiguous::resubmit && now < t.ambiguous_at + p.reconcile_for) {
      const milliseconds delay = backoff(++t.misses, p.reconcile_retry, p.reconcile_retry_max, jitter);
      t.next_reconcile_at = std::min(now + delay, t.ambiguous_at + p.reconcile_for);
      return true;
    }
    return not_found(
        e.proven, "The job was not found in the upstream's list, but nothing proves that it was not created");
  }

  bool operator()(const event::lookup_failed& e) const {
    if (!is_ambiguous(t)) return false;
    // The time may have passed while nobody looked: a few looks it must have been.
    constexpr int few = 3;
    if (e.for_good) return not_found(false, "This upstream has no list in which the job could be looked for");
    if (now >= t.ambiguous_at + p.reconcile_for && t.misses >= few)
      return not_found(false, "The upstream's list, in which the job could be looked for, could not be read");
    const milliseconds delay =
        std::max(e.retry_after, backoff(++t.misses, p.reconcile_retry, p.reconcile_retry_max, jitter));
    t.next_reconcile_at = now + delay;
    return true;
  }

  // Rule M2: not found is not the same as not created.
  bool not_found(bool proven, std::string_view why) const {
    constexpr std::string_view lost = "The upstream's answer to the submission was lost. ";
    if (p.ambiguous == on_ambiguous::resubmit || (p.ambiguous == on_ambiguous::prove && proven)) {
      t.ambiguous_at = t.next_reconcile_at = never;
      if (now >= t.deadline) {
        fail_task(t, std::string(lost) + "The time in which it could have been submitted again is over", now);
        return true;
      }
      t.state = task_state::pending;
      t.misses = 0;
      t.next_submit_at = now;
      return true;
    }
    if (proven) why = "The job is not there, and this relay is set up not to submit such a job again";
    fail_task(t, std::string(lost).append(why).append(proven ? "" : ", so it was not submitted again"), now);
    return true;
  }

  bool operator()(const event::submit_expired&) const {
    if (t.state != task_state::pending && t.state != task_state::submitting) return false;
    if (is_ambiguous(t)) return false;
    fail_task(t, "No upstream could take the job within the time allowed", now);
    return true;
  }

  bool operator()(const event::cancelled&) const {
    if (t.state != task_state::pending) return false;
    fail_task(t,
              t.attempts == 0 ? "Cancelled by the operator before it was submitted"
                              : "Cancelled by the operator while it waited to be submitted again",
              now);
    return true;
  }

  bool operator()(const event::polled& e) const {
    // Early words are worth no more when it is late: only a result is.
    if (awaits_late_success() &&
        (e.said.state != job_state::completed || (!e.said.has_link && now < t.deadline))) {
      return ask_later();
    }
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

  // The oldest callback is settled; the next is due at once.
  bool settle_callback() const {
    t.owed.erase(0, 1);
    ++t.callbacks_done;
    t.callback_attempts = 0;
    t.next_callback_at = t.owed.empty() ? never : now;
    return true;
  }

  bool operator()(const event::delivered&) const {
    if (t.owed.empty()) return false;
    t.callback_problem.clear();
    return settle_callback();
  }

  bool operator()(const event::delivery_failed& e) const {
    if (t.owed.empty()) return false;
    t.callback_problem = e.problem;
    if (e.gone) {
      t.callback_stopped = true;
      t.callbacks_done += static_cast<int>(t.owed.size());  // ids of messages are not used twice
      t.owed.clear();
      t.callback_attempts = 0;
      t.next_callback_at = never;
      return true;
    }
    if (t.owed.size() > 1) return settle_callback();  // there is newer news: the old is not worth its wait
    const auto tried = static_cast<std::size_t>(t.callback_attempts++);
    if (tried >= p.callback_retries.size()) return settle_callback();
    const auto planned = std::max(p.callback_retries[tried], e.retry_after);
    t.next_callback_at = now + milliseconds(static_cast<milliseconds::rep>(
                                   static_cast<double>(planned.count()) * (1.0 + 0.25 * jitter)));
    return true;
  }

  bool operator()(const event::callback_asked&) const {
    if (!is_web_url(t.callback_url)) return false;
    const char last = letter_of(t.state);
    if (t.owed.empty() && last == 0) return false;
    if (t.owed.empty()) t.owed = last;
    t.callback_stopped = false;
    t.callback_attempts = 0;
    t.next_callback_at = now;
    return true;
  }

  static char letter_of(task_state s) {
    switch (s) {
      case task_state::dreaming:
        return 'd';
      case task_state::completed:
        return 'c';
      case task_state::failed:
        return 'f';
      default:
        return 0;
    }
  }

  // Rule M7: the debt is part of the state that caused it.
  void owe(task_state before) const {
    const char told = letter_of(t.state);
    if (t.state == before || told == 0 || t.callback_stopped || !is_web_url(t.callback_url)) return;
    if (t.callback_attempts > 0)
      settle_callback();  // it was refused before: the newer news does not wait for it
    t.owed += told;
    if (!is_set(t.next_callback_at)) t.next_callback_at = now;
  }
};

}  // namespace

task advance(task t, const task_event& e, timestamp now, const policy& p, double jitter) {
  const task_state before = t.state;
  const step s{t, now, p, jitter};
  if (!std::visit(s, e)) return t;
  s.owe(before);
  t.updated_at = now;
  return t;
}

}  // namespace relay
