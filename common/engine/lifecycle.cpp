#include "common/engine/lifecycle.hpp"

#include <algorithm>
#include <utility>

#include "common/base/backoff.hpp"
#include "common/engine/callbacks.hpp"
#include "common/engine/story.hpp"

namespace relay {
namespace {

void finish(task& t, task_state state, timestamp now) {
  t.state = state;
  t.finished_at = now;
  t.next_submit_at = t.next_poll_at = t.next_reconcile_at = t.ambiguous_at = t.absent_at = never;
  t.not_found_at = t.held_at = t.cancelled_at = never;
  t.misses = t.not_found = 0;
}

void fail_task(task& t, std::string reason, timestamp now) {
  finish(t, task_state::failed, now);
  t.fail_reason = std::move(reason);
}

// The job may still complete: it is polled for a while, slowly (rules M5, M9).
void fail_late(task& t, std::string reason, timestamp now, const policy& p) {
  fail_task(t, std::move(reason), now);
  t.deadline = now + p.late_for;
  t.next_poll_at = now + p.late_interval;
}

// The upstream may have it all the same: it is looked up for a while longer, slowly (rule M9).
void fail_lost(task& t, std::string reason, timestamp now, const policy& p) {
  const timestamp since = t.ambiguous_at;
  fail_task(t, std::move(reason), now);
  t.ambiguous_at = since;
  t.deadline = now + p.late_for;
  t.next_reconcile_at = now + p.late_interval;
}

// Its client does not see it, and the relay polls it no more.
bool is_over_and_deleted(const task& t) {
  return is_set(t.deleted_at) && is_terminal(t.state) && !is_set(t.next_poll_at) && !t.upstream_id.empty();
}

// When the first of a result's addresses ends, as far as anybody says it.
timestamp end_of_links(const job& reported, timestamp now) {
  const timestamp counted = reported.links_for.count() > 0 ? now + reported.links_for : never;
  if (!is_set(reported.links_until) || !is_set(counted)) return std::max(reported.links_until, counted);
  return std::min(reported.links_until, counted);
}

bool at_upstream(const task& t) {
  return t.state == task_state::queued || t.state == task_state::running;
}

// Takes over what the upstream reports. A job never moves backwards: a late "queued" after "running" is
// noise.
void follow(task& t, const job& reported, const std::string& reply, timestamp now, const policy& p,
            double jitter) {
  t.reply = reply;
  t.misses = t.not_found = 0;
  t.not_found_at = never;
  if (reported.progress) t.progress = *reported.progress;
  // Some upstreams report "completed" before there is a result, and clients read that as the end: not before
  // the deadline.
  const bool too_early = reported.state == job_state::completed && !reported.has_result && now < t.deadline;
  switch (too_early ? job_state::running : reported.state) {
    case job_state::completed:
      finish(t, task_state::completed, now);
      t.fail_reason.clear();
      t.progress = 100;
      t.links_until = end_of_links(reported, now);
      return;
    case job_state::failed:
      fail_task(t,
                reported.failure_reason.empty() ? "The upstream reported a failure without a reason"
                                                : reported.failure_reason,
                now);
      return;
    case job_state::running:
      t.state = task_state::running;
      break;
    case job_state::queued:
    case job_state::unknown:
      break;
  }
  if (now >= t.deadline) {
    fail_late(t, "The job did not end within the time allowed", now, p);
    return;
  }
  t.next_poll_at = now + backoff(0, p.poll_interval, p.poll_interval, jitter);
}

// One function an event; each says whether the event meant anything in the task's state.
struct step {
  task& t;
  timestamp now;
  const policy& p;
  double jitter;

  // ---- from pending to an upstream

  bool operator()(const event::submit_started& e) const {
    if (t.state != task_state::pending || is_held(t)) return false;
    t.state = task_state::submitting;
    t.upstream = e.upstream;
    t.marker = e.marker;
    t.attempt_id = e.attempt_id;
    t.submitter = e.submitter;
    t.attempted_at = now;
    t.next_submit_at = never;
    ++t.attempts;
    return true;
  }

  bool submitting(const std::string& attempt_id) const {
    return t.state == task_state::submitting && t.attempt_id == attempt_id;
  }

  bool adopt(const job& reported, const std::string& reply) const {
    t.state = task_state::queued;
    t.upstream_id = reported.id;
    t.started_at = now;
    t.deadline = now + job_deadline(p, t.action);
    t.ambiguous_at = t.next_reconcile_at = t.absent_at = never;
    follow(t, reported, reply, now, p, jitter);
    return true;
  }

  bool operator()(const event::accepted& e) const {
    return submitting(e.attempt_id) && adopt(e.reported, e.reply);
  }

  bool operator()(const event::rejected& e) const {
    if (!submitting(e.attempt_id)) return false;
    fail_task(t, e.message, now);
    t.fail_status = e.status;
    return true;
  }

  bool operator()(const event::unavailable& e) const {
    if ((t.state != task_state::pending || is_held(t)) && !submitting(e.attempt_id)) return false;
    if (is_ambiguous(t)) return false;
    // Not taken, and it is not to go out again, or the time for it is over.
    if (is_set(t.cancelled_at)) return cancel();
    if (now >= t.deadline) return expire({e.accounts_refused});
    t.state = task_state::pending;
    if (e.keeps_place) {
      // It keeps its place; but if it is this task that the upstream refuses, others get a turn.
      constexpr int turns = 3;
      t.next_submit_at = t.attempts <= turns ? std::min(t.created_at, now) : now;
      return true;
    }
    // It is this task that was not taken: it waits by itself, as long as the upstream asks for.
    const milliseconds delay = std::max(
        e.retry_after, backoff(std::max(0, t.attempts - 1), p.submit_retry, p.submit_retry_max, jitter));
    t.next_submit_at = std::min(now + delay, t.deadline);
    return true;
  }

  bool operator()(const event::submit_expired& e) const {
    return t.state == task_state::pending && !is_held(t) && expire(e);
  }
  bool expire(const event::submit_expired& e) const {
    fail_task(t,
              e.accounts_refused
                  ? "The relay's own account upstream was refused, which its operator has to mend; no "
                    "upstream has the job"
                  : "No upstream could take the job within the time allowed",
              now);
    return true;
  }

  bool operator()(const event::cancelled&) const {
    // One that an upstream may have by now goes on there; if it does not, it ends.
    if (t.state == task_state::submitting && !is_set(t.cancelled_at)) {
      t.cancelled_at = now;
      return true;
    }
    return t.state == task_state::pending && cancel();
  }
  bool cancel() const {
    std::string reason = is_set(t.deleted_at) ? "Deleted" : "Cancelled by the operator";
    reason += t.attempts == 0 ? " before it was submitted" : " before it was submitted again";
    fail_task(t, std::move(reason), now);
    return true;
  }

  // What waits is not submitted; what an upstream has, or may have, is followed to its end. No more
  // callbacks.
  bool operator()(const event::deleted&) const {
    if (is_set(t.deleted_at)) return false;
    t.deleted_at = now;
    t.callback_stopped = true;
    t.pending_callbacks.clear();
    t.next_callback_at = never;
    if (t.state == task_state::submitting && !is_set(t.cancelled_at)) t.cancelled_at = now;
    // One that is held may have been submitted since its backup was made: it is still looked up.
    return t.state == task_state::pending && !is_held(t) ? cancel() : true;
  }

  bool operator()(const event::removed&) const {
    if (!is_set(t.next_remove_at)) return false;
    t.next_remove_at = never;
    return true;
  }
  // Ever more seldom, for some days.
  bool operator()(const event::removal_failed&) const {
    if (!is_set(t.next_remove_at)) return false;
    constexpr milliseconds first{10'000};
    constexpr std::chrono::days given_up_after{3};
    const auto since = now - std::max(t.deleted_at, t.finished_at);
    const auto delay = std::clamp<timestamp::duration>(since, first, longest_removal_delay);
    t.next_remove_at = since < given_up_after ? now + delay : never;
    return true;
  }

  // ---- a submission whose response was lost

  bool start_lookup(milliseconds after) const {
    t.ambiguous_at = now;
    t.absent_at = never;
    t.misses = 0;
    t.next_reconcile_at = now + after;
    return true;
  }
  // A moment for the upstream to come to its own end of it.
  bool operator()(const event::outcome_unknown& e) const {
    return submitting(e.attempt_id) && !is_ambiguous(t) &&
           start_lookup(backoff(0, p.reconcile_retry, p.reconcile_retry_max, jitter));
  }
  bool operator()(const event::interrupted& e) const {
    return submitting(e.attempt_id) && !is_ambiguous(t) && start_lookup(milliseconds{0});
  }

  bool operator()(const event::found& e) const {
    if (is_ambiguous(t)) return adopt(e.reported, e.reply);
    if (!is_looked_up_late(t)) return false;
    // To its client it has failed, until it is completed.
    t.upstream_id = e.reported.id;
    t.started_at = now;
    t.ambiguous_at = t.next_reconcile_at = never;
    t.deadline = now + p.late_for;
    t.next_poll_at = now;
    return true;
  }

  // It was submitted after the backup was made, and to this upstream.
  bool operator()(const event::found_held& e) const {
    if (!is_held(t)) return false;
    t.held_at = never;
    t.upstream = e.upstream;
    t.marker = e.marker;
    return adopt(e.reported, e.reply);
  }
  bool operator()(const event::released&) const {
    if (!is_held(t)) return false;
    if (is_set(t.deleted_at)) return cancel();
    t.held_at = t.cancelled_at = never;
    t.next_submit_at = now;
    t.deadline = now + p.submit_deadline;
    return true;
  }

  // The time may have passed while the relay was down: this many lookups it must have been.
  static constexpr int min_lookups = 3;
  milliseconds next_lookup_delay() const {
    return backoff(++t.misses, p.reconcile_retry, p.reconcile_retry_max, jitter);
  }
  bool look_later() const {
    if (now < t.deadline) {
      t.next_reconcile_at = std::min(now + p.late_interval, t.deadline);
    } else {
      t.next_reconcile_at = t.ambiguous_at = never;
    }
    return true;
  }

  bool operator()(const event::absent& e) const {
    if (is_looked_up_late(t)) return look_later();
    if (!is_ambiguous(t)) return false;
    const timestamp settled = t.ambiguous_at + p.settle;
    if (e.requested_at < settled) {
      const milliseconds delay = next_lookup_delay();
      // The lookup that counts is soon after it has settled.
      t.next_reconcile_at = now < settled ? std::min(now + delay, settled) : now;
      return true;
    }
    // Rule M10: two lists, a settling time apart, that would both have shown it. One that would not takes the
    // other's worth.
    if (!e.would_show) t.absent_at = never;
    if (e.would_show && !is_set(t.absent_at)) t.absent_at = e.requested_at;
    const bool proven = e.would_show && e.requested_at >= t.absent_at + p.settle;
    // What the list cannot prove now it may still show: as long as it takes.
    const bool over = now >= t.ambiguous_at + p.reconcile_for && t.misses >= min_lookups;
    if (!proven && p.ambiguous != on_ambiguous::resubmit && !over) {
      const timestamp second = e.would_show ? std::max(t.absent_at + p.settle, now) : never;
      const timestamp end = std::max(t.ambiguous_at + p.reconcile_for, now + p.reconcile_retry);
      const timestamp next = std::min(now + next_lookup_delay(), end);
      t.next_reconcile_at = is_set(second) ? std::min(next, second) : next;
      return true;
    }
    return not_found(
        proven, "The job was not found in the upstream's list, but nothing proves that it was not created");
  }

  bool operator()(const event::lookup_failed& e) const {
    if (is_looked_up_late(t)) {
      // Without a list only the upstream's own callback can name the job.
      if (e.no_list && now < t.deadline) {
        t.next_reconcile_at = t.deadline;
        return true;
      }
      return look_later();
    }
    if (!is_ambiguous(t)) return false;
    const timestamp end = t.ambiguous_at + p.reconcile_for;
    if (e.no_list) {
      // The upstream may call back yet, if it was given an address.
      if (!t.marker.empty() && p.ambiguous != on_ambiguous::resubmit && now < end) {
        t.next_reconcile_at = end;
        return true;
      }
      return not_found(false, "This upstream has no list in which the job could be looked for");
    }
    if (now >= end && t.misses >= min_lookups)
      return not_found(false, "The upstream's list, in which the job could be looked for, could not be read");
    t.next_reconcile_at = now + std::max(e.retry_after, next_lookup_delay());
    return true;
  }

  // Rule M2: not found is not the same as not created.
  bool not_found(bool proven, std::string_view why) const {
    constexpr std::string_view lost = "The upstream's answer to the submission was lost. ";
    if (p.ambiguous == on_ambiguous::resubmit || (p.ambiguous == on_ambiguous::prove && proven)) {
      t.ambiguous_at = t.next_reconcile_at = t.absent_at = never;
      if (is_set(t.cancelled_at)) return cancel();
      if (now >= t.deadline) {
        fail_task(t, std::string(lost) + "The time in which it could have been submitted again is over", now);
        return true;
      }
      t.state = task_state::pending;
      t.misses = 0;
      t.next_submit_at = now;
      return true;
    }
    if (proven) {
      fail_task(
          t,
          std::string(lost) + "The job is not there, and this relay is set up not to submit such a job again",
          now);
    } else {
      fail_lost(t, std::string(lost).append(why).append(", so it was not submitted again"), now, p);
    }
    return true;
  }

  // ---- from the upstream to the end

  bool awaits_late_success() const { return t.state == task_state::failed && is_set(t.next_poll_at); }
  bool poll_later() const {
    // One that was found late may be at work: it is polled at the usual pace for as long as such a job may
    // take.
    const bool at_work = t.misses == 0 && now < t.started_at + job_deadline(p, t.action);
    const milliseconds delay =
        at_work ? backoff(0, p.poll_interval, p.poll_interval, jitter) : p.late_interval;
    t.next_poll_at = now < t.deadline ? now + delay : never;
    return true;
  }

  bool operator()(const event::polled& e) const {
    // A failure is its end, as the client knows already.
    if (awaits_late_success() && e.reported.state == job_state::failed) {
      t.next_poll_at = never;
      return true;
    }
    // After the deadline only a result counts.
    if (awaits_late_success() &&
        (e.reported.state != job_state::completed || (!e.reported.has_result && now < t.deadline))) {
      t.misses = 0;
      return poll_later();
    }
    if (!at_upstream(t) && !awaits_late_success()) return false;
    follow(t, e.reported, e.reply, now, p, jitter);
    return true;
  }

  bool operator()(const event::poll_failed& e) const {
    if (awaits_late_success()) {
      ++t.misses;
      return poll_later();
    }
    if (!at_upstream(t)) return false;
    // A single failure means little: a task fails only after several in a row.
    ++t.misses;
    t.not_found = e.not_found ? t.not_found + 1 : 0;
    if (t.not_found == 0) t.not_found_at = never;
    if (t.not_found == 1) t.not_found_at = now;
    if (e.confirmed && t.not_found >= p.not_found_limit && now >= t.not_found_at + p.not_found_for) {
      fail_late(t, "The upstream no longer knows the job", now, p);
      return true;
    }
    if (now >= t.deadline) {
      fail_late(t, "The job did not end within the time allowed", now, p);
      return true;
    }
    const milliseconds delay =
        std::max(e.retry_after, backoff(t.misses, p.poll_interval, p.poll_retry_max, jitter));
    t.next_poll_at = std::min(now + delay, std::max(t.deadline, now + p.poll_interval));
    return true;
  }

  // For its story alone.
  bool operator()(const event::called&) const {
    return at_upstream(t) || awaits_late_success() || is_ambiguous(t) || is_looked_up_late(t);
  }

  // ---- after the end

  bool operator()(const event::links_renewed& e) const {
    if (t.state != task_state::completed) return false;
    t.reply = e.reply;
    t.links_until = end_of_links(e.reported, now);
    t.links_lost_at = never;
    return true;
  }
  bool operator()(const event::links_lost&) const {
    if (t.state != task_state::completed || !is_set(t.links_until)) return false;
    t.links_until = never;
    t.links_lost_at = now;
    return true;
  }

  // ---- callbacks

  bool operator()(const event::delivered& e) const { return settle_callback(t, e, now); }
  bool operator()(const event::delivery_failed& e) const { return settle_callback(t, e, now, p, jitter); }
  bool operator()(const event::callback_requested&) const { return request_callback(t, now); }
};

}  // namespace

task advance(task t, const task_event& e, timestamp now, const policy& p, double jitter) {
  const task_state before = t.state;
  const bool was_over = is_over_and_deleted(t);
  // The event first; then the callback that the change of state calls for, and the end at the upstream.
  const step s{t, now, p, jitter};
  if (!std::visit(s, e)) return t;
  add_to_story(t, e, now);
  add_callback(t, before, now);
  if (p.remove_at_upstream && !was_over && is_over_and_deleted(t)) t.next_remove_at = now;
  // A call alone changes nothing that a client sees.
  if (!std::holds_alternative<event::called>(e)) t.updated_at = now;
  return t;
}

bool only_polled_later(const task& before, const task& after) {
  // Cheap first: a reply that differs is news.
  if (before.reply != after.reply || before.state != after.state || !is_set(after.next_poll_at)) return false;
  task same = after;
  same.next_poll_at = before.next_poll_at;
  same.updated_at = before.updated_at;
  return same == before;
}

}  // namespace relay
