#include "common/engine/ledger.hpp"

#include <algorithm>
#include <chrono>

namespace relay {
namespace {

constexpr std::string_view kind_names[] = {"topup", "hold", "charge", "release", "adjust"};
constexpr std::string_view outcome_names[] = {"completed", "failed", "refused"};

ledger_entry row(ledger_kind kind, const task& t, timestamp at) {
  ledger_entry out;
  out.kind = kind;
  out.account = t.owner;
  out.token = token_of(t);
  out.task_id = t.id;
  out.upstream = t.upstream;
  out.upstream_id = t.upstream_id;
  out.at = at;
  return out;
}

std::optional<ledger_entry> ledger_of(const task* before, const task& after, const booking_facts& facts) {
  if (after.price <= money{}) return std::nullopt;
  // 1. It is recorded.
  if (before == nullptr) {
    ledger_entry e = row(ledger_kind::hold, after, after.created_at);
    e.held = after.price;
    e.must_be_covered = true;
    return e;
  }
  if (before->state == after.state || !is_terminal(after.state)) return std::nullopt;
  // 2. It ends: what was held is charged, or free again.
  if (after.state == task_state::failed) {
    ledger_entry e = row(ledger_kind::release, after, after.finished_at);
    e.held = -after.price;
    return e;
  }
  ledger_entry e = row(ledger_kind::charge, after, after.finished_at);
  e.amount = -after.price;
  e.cost = facts.cost;
  if (before->state != task_state::failed) {
    e.held = -after.price;
    return e;
  }
  // 3. After its end: nothing is held for it any more.
  if (!facts.charges_late) return std::nullopt;
  return e;
}

usage_entry usage_of(const task& t, job_outcome outcome, const booking_facts& facts) {
  usage_entry out;
  out.day = day_of(t.finished_at);
  out.account = t.owner;
  out.token = token_of(t);
  out.action = t.action->name;
  out.model = facts.model;
  out.upstream = t.upstream;
  out.outcome = outcome;
  out.jobs = 1;
  // One that was found after it failed was not accepted before that.
  if (is_set(t.started_at) && t.started_at <= t.finished_at) {
    const auto between = [](timestamp from, timestamp to) {
      return std::max(std::chrono::floor<milliseconds>(to - from), milliseconds(0));
    };
    out.wait = between(t.created_at, t.started_at);
    out.run = between(t.started_at, t.finished_at);
  }
  return out;
}

}  // namespace

std::string_view name_of(ledger_kind k) {
  return kind_names[static_cast<std::size_t>(k)];
}

std::optional<ledger_kind> ledger_kind_from(std::string_view name) {
  for (const ledger_kind k : all_ledger_kinds) {
    if (name_of(k) == name) return k;
  }
  return std::nullopt;
}

std::string_view name_of(job_outcome o) {
  return outcome_names[static_cast<std::size_t>(o)];
}

std::optional<job_outcome> outcome_of(const task& t) {
  if (t.state == task_state::completed) return job_outcome::completed;
  if (t.state != task_state::failed) return std::nullopt;
  return t.fail_status != 0 ? job_outcome::refused : job_outcome::failed;
}

std::int32_t day_of(timestamp t) {
  return static_cast<std::int32_t>(std::chrono::floor<std::chrono::days>(t).time_since_epoch().count());
}

bool calls_for_booking(const task* before, const task& after) {
  if (before == nullptr) return after.price > money{} || is_terminal(after.state);
  return before->state != after.state && is_terminal(after.state);
}

booking booking_of(const task* before, const task& after, const booking_facts& facts) {
  booking out;
  if (!calls_for_booking(before, after)) return out;
  out.ledger = ledger_of(before, after, facts);
  const auto was = before != nullptr ? outcome_of(*before) : std::nullopt;
  const auto is = outcome_of(after);
  if (was) {
    // It is counted as what it turned out to be, and no longer as what it seemed.
    usage_entry back = usage_of(*before, *was, facts);
    back.jobs = -1;
    back.wait = -back.wait;
    back.run = -back.run;
    out.usage.push_back(std::move(back));
  }
  if (is) {
    usage_entry now = usage_of(after, *is, facts);
    if (*is == job_outcome::completed) {
      if (out.ledger) now.amount = after.price;
      now.cost = facts.cost;
    }
    out.usage.push_back(std::move(now));
  }
  return out;
}

}  // namespace relay
