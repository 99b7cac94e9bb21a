#include "server/fresh_links.hpp"

#include <spdlog/logger.h>

#include "common/engine/outcome.hpp"
#include "server/clock.hpp"

namespace relay {
namespace {

constexpr std::chrono::seconds margin{30};         // a client needs some time with a link
constexpr std::chrono::seconds after_failure{30};  // before the upstream is asked again
constexpr std::chrono::minutes after_no_better{5};

}  // namespace

bool fresh_links::needed(const task& t) {
  return t.state == task_state::completed && is_set(t.links_until) && wall_clock() + margin >= t.links_until;
}

void fresh_links::begin(const task& t) {
  if (!needed(t) || running_.contains(t.id) || running_.size() >= most_at_once) return;
  const tried* before = tried_.find(t.id);
  if (before != nullptr && steady_clock::now() < before->not_before) return;
  upstream* const at = upstreams_.find(t.upstream);
  if (at == nullptr || !at->polls().take(wall_clock())) return;
  auto r = std::make_shared<renewal>();
  running_.emplace(t.id, r);
  auto work = renew(std::move(r), t.id, at, t.upstream_id);
  asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
}

awaitable<task_ptr> fresh_links::of(task_ptr t, steady_clock::time_point until) {
  begin(*t);
  const auto found = running_.find(t->id);
  if (found == running_.end() || steady_clock::now() >= until) co_return t;
  const std::shared_ptr<renewal> r = found->second;
  steady_timer timeout(loop_.get_executor());
  timeout.expires_at(until);
  r->readers.push_back(&timeout);
  co_await timeout.async_wait(as_result);
  std::erase(r->readers, &timeout);
  co_return r->newest ? r->newest : t;
}

awaitable<> fresh_links::renew(std::shared_ptr<renewal> r, std::string id, upstream* at,
                               std::string upstream_id) {
  std::string problem;
  try {
    r->newest = co_await ask(id, at, upstream_id);
  } catch (const std::exception& e) {
    problem = e.what();
  }
  if (!problem.empty()) log_.error("task {}: asking for new links ended by an exception: {}", id, problem);
  // Nothing came of it, or links that have ended too: not at once again.
  if (!r->newest || needed(*r->newest)) {
    const tried* before = tried_.find(id);
    const auto pause = r->newest ? steady_clock::duration(after_no_better) : after_failure;
    tried_.put(id, {steady_clock::now() + pause, before != nullptr && before->not_found}, sizeof(tried));
  }
  running_.erase(id);
  for (steady_timer* reader : r->readers) reader->cancel();
}

// The task as it is now; null: as it was.
awaitable<task_ptr> fresh_links::ask(std::string id, upstream* at, std::string upstream_id) {
  const auto started = steady_clock::now();
  const std::string path = at->speaks().build_fetch(upstream_id);
  const exchange x = co_await at->fetch(path);
  poll_outcome outcome = classify_poll(x, at->speaks());
  metrics_.upstream_call(at->name(), "links", outcome.name,
                         std::chrono::duration<double>(steady_clock::now() - started).count());
  task_event e = event::links_lost{};
  if (auto* polled = std::get_if<event::polled>(&outcome.event)) {
    if (polled->reported.state != job_state::completed || !polled->reported.has_result) co_return nullptr;
    e = event::links_renewed{std::move(polled->reported), std::move(polled->reply)};
  } else if (std::get_if<event::poll_failed>(&outcome.event)->not_found) {
    // A single 404 may be about anything: the second one, some time later, is believed.
    const tried* before = tried_.find(id);
    const bool again = before != nullptr && before->not_found;
    tried_.put(id, {steady_clock::now() + after_failure, true}, sizeof(tried));
    if (!again) co_return nullptr;
  } else {
    log_.warn(
        "task {}: its links have ended, and {} names no others now: {}; it is asked again when the job is "
        "read",
        id, at->name(), outcome.note);
    co_return nullptr;
  }
  const bool lost = std::holds_alternative<event::links_lost>(e);
  const auto saved = co_await changes_.apply(id, std::move(e));
  if (!saved) co_return nullptr;
  if (lost)
    log_.warn("task {}: its links have ended, and {} does not know the job any more; they stay as they are",
              id, at->name());
  else
    log_.info("task {}: {} has named its links anew", id, at->name());
  co_return saved->after;
}

}  // namespace relay
