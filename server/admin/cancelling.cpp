#include "server/admin/cancelling.hpp"

#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/wait_group.hpp"

namespace relay {
namespace {

constexpr std::int64_t changed_at_once = 256;
constexpr std::int64_t max_cancelled_at_once = 10'000;

awaitable<> apply_to_one(const admin_context& in, std::string id, task_event e, std::int64_t& changed,
                         std::optional<error>& failed) {
  const auto done = co_await in.changes.apply(std::move(id), std::move(e));
  if (!done && done.error().code != errc::task_not_found) failed = done.error();
  changed += done && done->changed();
}

// One event for each of them, together, so that they share their transactions; how many it changed.
awaitable<result<std::int64_t>> apply_to_all(const admin_context& in, std::vector<task_ptr> tasks,
                                             task_event e) {
  std::int64_t changed = 0;
  std::optional<error> failed;
  wait_group at_once(in.loop);
  for (const task_ptr& t : tasks) {
    auto work = apply_to_one(in, t->id, e, changed, failed);
    at_once.add(std::move(work));
  }
  co_await at_once.wait();
  if (failed) co_return std::unexpected(std::move(*failed));
  co_return changed;
}

// Those of a restored backup; they stand in no queue. Each leaves the state as it is changed.
awaitable<result<std::int64_t>> apply_to_held(const admin_context& in, whose of, task_event e) {
  task_filter filter;
  filter.held = true;
  filter.oldest_first = true;  // in the order in which they came
  filter.owner = of.account;
  filter.token = of.token;
  filter.limit = changed_at_once;
  for (std::int64_t sum = 0;;) {
    auto held = co_await from_store(in.tasks, &store::browse, filter);
    if (!held) co_return std::unexpected(held.error());
    const auto changed = co_await apply_to_all(in, std::move(held->tasks), e);
    if (!changed) co_return changed;
    sum += *changed;
    if (!held->has_more) co_return sum;
    filter.after = held->last_row;
  }
}

// Those that are being sent; each stays in the state until its outcome is known.
awaitable<result<std::int64_t>> cancel_sending(const admin_context& in, whose of, timestamp until) {
  task_filter sending;
  sending.state = task_state::submitting;
  sending.owner = of.account;
  sending.token = of.token;
  sending.until = until;
  sending.limit = max_cancelled_at_once;
  for (std::int64_t sum = 0;;) {
    auto page = co_await from_store(in.tasks, &store::browse, sending);
    if (!page) co_return std::unexpected(page.error());
    task_event e = event::cancelled{};
    const auto marked = co_await apply_to_all(in, std::move(page->tasks), std::move(e));
    if (!marked) co_return marked;
    sum += *marked;
    if (!page->has_more) co_return sum;
    sending.before = page->last_row;
  }
}

// Those that wait in one queue. How many it changed.
awaitable<result<std::int64_t>> cancel_queue(const admin_context& in, submit_queue q,
                                             std::optional<std::int64_t> token, timestamp until) {
  std::int64_t sum = 0;
  for (schedule_cursor after;;) {
    auto page = co_await from_store(in.tasks, &store::pending, q, after, changed_at_once);
    if (!page) co_return std::unexpected(page.error());
    std::erase_if(page->tasks, [&](const task_ptr& t) {
      return t->created_at >= until || (token && token_of(*t) != *token);
    });
    task_event e = event::cancelled{};
    const auto changed = co_await apply_to_all(in, std::move(page->tasks), std::move(e));
    if (!changed) co_return changed;
    sum += *changed;
    if (page->rows < changed_at_once) co_return sum;
    after = page->last;
  }
}

}  // namespace

json::object shown(const cancelled_jobs& c) {
  return {{"cancelled", c.pending}, {"submitting", c.submitting}};
}

// A job may go out, or come back refused, while others are looked at: until a whole round finds nothing. What
// is created from now on is left alone: clients may go on without end.
awaitable<result<cancelled_jobs>> cancel_pending(const admin_context& in, whose of) {
  const timestamp until = now();
  cancelled_jobs out;
  for (std::int64_t found = 1; found > 0;) {
    const auto marked = co_await cancel_sending(in, of, until);
    if (!marked) co_return std::unexpected(marked.error());
    out.submitting += *marked;
    found = *marked;

    const auto queues = co_await from_store(in.tasks, &store::submit_queues);
    if (!queues) co_return std::unexpected(queues.error());
    for (const submit_queue& q : *queues) {
      if (of.account && q.owner != *of.account) continue;
      const auto ended = co_await cancel_queue(in, q, of.token, until);
      if (!ended) co_return std::unexpected(ended.error());
      out.pending += *ended;
      found += *ended;
    }
  }
  task_event e = event::cancelled{};
  const auto held = co_await apply_to_held(in, of, std::move(e));
  if (!held) co_return std::unexpected(held.error());
  out.pending += *held;
  co_return out;
}

awaitable<result<cancelled_jobs>> cancel_unless(bool keep, const admin_context& in, whose of) {
  if (keep) co_return cancelled_jobs{};
  co_return co_await cancel_pending(in, of);
}

awaitable<result<std::int64_t>> release_held(const admin_context& in) {
  task_event e = event::released{};
  co_return co_await apply_to_held(in, {}, std::move(e));
}

}  // namespace relay
