#include "server/background/named_jobs.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/text.hpp"
#include "common/engine/matching.hpp"
#include "common/engine/outcome.hpp"
#include "server/await_store.hpp"
#include "server/outgoing_request.hpp"

namespace relay {
namespace {

constexpr std::size_t max_early = 10'000;
constexpr std::size_t max_looks = 64;  // a callback that is dropped comes again, or the list shows the job

}  // namespace

named_jobs::named_jobs(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, metrics& m,
                       spdlog::logger& log)
    : loop_(loop), store_(s), changes_(changes), upstreams_(all), metrics_(m), log_(log) {}

upstream* named_jobs::find(const std::string& name) const {
  return upstreams_.find(name);
}

bool named_jobs::named(const task& t, std::string_view body) {
  upstream* at = find(t.upstream);
  if (at == nullptr) return false;
  auto reported = at->speaks().parse_job(body);
  if (!reported || reported->id.empty()) return false;
  if (is_ambiguous(t) || is_looked_up_late(t)) {
    look(*at, t.id, std::move(reported->id));
  } else if (t.state == task_state::submitting && early_.size() < max_early) {
    early_[t.id] = std::move(reported->id);
  }
  return true;
}

void named_jobs::saved(const task& t) {
  if (early_.empty()) return;
  const auto found = early_.find(t.id);
  if (found == early_.end()) return;
  std::string upstream_id = std::move(found->second);
  early_.erase(found);
  upstream* at = find(t.upstream);
  if (is_ambiguous(t) && at != nullptr) look(*at, t.id, std::move(upstream_id));
}

void named_jobs::look(upstream& at, const std::string& task_id, std::string upstream_id) {
  if (looking_at_.size() >= max_looks || !looking_at_.insert(upstream_id).second) return;
  auto work = adopt(at, task_id, std::move(upstream_id));
  asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
}

// Empty: it may be the task's.
awaitable<std::string> named_jobs::why_not(upstream& at, const task& t, const listed_job& shown) {
  // 1. No other task has it. Those that could were created at most this long before.
  const timestamp since = t.created_at - changes_.limits().submit_deadline - std::chrono::hours(24);
  const std::vector<std::string> ids{shown.reported.id};
  for (const std::string& name : upstreams_.at_the_place_of(at)) {
    const auto known = co_await from_store(store_, &store::known_jobs, name, ids, since);
    if (!known) co_return "the task table cannot be read: " + known.error().log.text;
    if (!known->empty()) co_return "another task has it";
  }
  // 2. What the upstream shows of it is what was sent.
  const auto with = at.sends_with();
  const auto sent = co_await outgoing_request(store_, t, at.speaks(), *with);
  const lost_submission s(std::make_shared<const task>(t), sent ? *sent : outgoing{}, at.speaks());
  if (contradicts(s, shown, at.speaks())) co_return "it was made from another request";
  co_return std::string{};
}

awaitable<> named_jobs::adopt(upstream& at, std::string task_id, std::string upstream_id) {
  try {
    task_event called = event::called{};
    (void)co_await changes_.apply(task_id, std::move(called));  // for its story: nothing depends on it
    // 1. The job, asked for with our own key.
    const auto started = steady_clock::now();
    const std::string path = at.speaks().build_fetch(upstream_id);
    const exchange x = co_await at.fetch(path);
    const poll_outcome outcome = classify_poll(x, at.speaks());
    metrics_.upstream_call(at.name(), "poll", outcome.name,
                           std::chrono::duration<double>(steady_clock::now() - started).count());
    result<listed_job> shown = fail(errc::upstream_unavailable, outcome.note);
    if (std::holds_alternative<event::polled>(outcome.event)) shown = at.speaks().parse_listed(x.body);
    std::string problem = shown ? "" : shown.error().log.text;
    if (shown && shown->reported.id != upstream_id) problem = "it has another id";
    // 2. It can be this task's.
    const auto newest = co_await load_task(store_, task_id);
    if (problem.empty() && newest && *newest) problem = co_await why_not(at, **newest, *shown);
    // 3. From here on it is followed.
    if (problem.empty()) {
      task_event e = event::found{shown->reported, shown->reply};
      const auto saved = co_await changes_.apply(task_id, std::move(e));
      if (!saved) problem = saved.error().log.text;
      if (saved && saved->changed())
        log_.warn("task {}: {} called about it and named {}; it is followed from here", task_id, at.name(),
                  for_log(upstream_id));
    }
    if (!problem.empty())
      log_.warn("task {}: {} called about it and named {}, which is not adopted: {}", task_id, at.name(),
                for_log(upstream_id), problem);
  } catch (const std::exception& e) {
    log_.error("task {}: looking at the job that {} named ended by an exception: {}", task_id, at.name(),
               e.what());
  }
  looking_at_.erase(upstream_id);
}

}  // namespace relay
