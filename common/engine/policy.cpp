#include "common/engine/policy.hpp"

#include <algorithm>

namespace relay {

milliseconds job_deadline(const policy& p, const action* a) {
  if (p.job_deadline.count() > 0) return p.job_deadline;
  return a != nullptr ? a->job_deadline : action{}.job_deadline;
}

schedule_limits limits_of(const policy& p, milliseconds longest_job) {
  // Upstreams' own Retry-After is honoured up to this.
  constexpr milliseconds longest_retry_after{300'000};
  schedule_limits l{};
  l.submit = std::max(p.submit_retry_max, longest_retry_after);
  l.poll = std::max({p.poll_retry_max, p.poll_interval, p.late_interval, longest_retry_after});
  // Without a list the end of the lookups is what is scheduled.
  l.reconcile = std::max(
      {p.reconcile_retry_max, p.reconcile_for, p.settle, p.late_interval, p.late_for, longest_retry_after});
  l.callback = milliseconds(3'600'000);
  for (const milliseconds m : p.callback_retries) l.callback = std::max(l.callback, m + m / 4);
  l.remove = longest_removal_delay;
  l.submit_deadline = p.submit_deadline;
  l.job_deadline = p.job_deadline.count() > 0 ? p.job_deadline : longest_job;
  l.late_for = p.late_for;
  // What was last known of a process is some seconds old when it ends; the time it was gone is added.
  constexpr std::chrono::minutes margin{1};
  for (milliseconds* m : {&l.submit, &l.poll, &l.reconcile, &l.callback, &l.remove, &l.submit_deadline,
                          &l.job_deadline, &l.late_for})
    *m += margin;
  return l;
}

}  // namespace relay
