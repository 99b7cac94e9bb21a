// What is watched while the relay runs: the disk, the figures of /metrics, readiness, troubles.

#include <spdlog/logger.h>

#include <algorithm>

#include "server/app.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/log.hpp"

namespace relay {
namespace {

constexpr std::chrono::milliseconds housekeeping_interval{100};
constexpr std::chrono::minutes overdue_after{1};
constexpr std::chrono::seconds between_counts{2};

}  // namespace

// The disk and the connections, ten times a second; the rest once.
awaitable<> app::housekeeping() {
  int rounds = 0;
  while (!ended_) {
    metrics_.set_connections(public_->connections());
    disk_->check(store_->counts().to_come());
    if (++rounds % 10 == 0) {
      metrics_.set_disk(disk_->free_bytes(), disk_->wanted(store_->counts().to_come()));
      metrics_.set_takes_jobs(state().takes_jobs);
      metrics_.set_log_dropped(log_lines_dropped());
      upstreams_.prune();
      if (assets_) metrics_.set_assets(assets_->files(), assets_->bytes());
      accounts_.set_day(day_of(now()));
      for (const submit_lane& l : dispatcher_->lanes()) {
        metrics_.set_upstream({l.name, l.state(now()) == submit_lane::circuit::open, l.open,
                               l.max_open > 0 ? l.max_open : l.at_once.value(),
                               l.per_minute > 0 ? l.per_minute : l.in_minute.value()});
      }
      metrics_.set_overdue(poller_->overdue(now() - overdue_after));
      report_refused_connections();
    }
    housekeeping_timer_.expires_after(housekeeping_interval);
    co_await housekeeping_timer_.async_wait(as_result);
  }
}

// No figure begins with its first event: a rate of it would miss that one.
void app::begin_metrics() {
  std::vector<std::pair<std::string_view, int>> routes;
  for (const route& r : parts_.routes.rows)
    routes.emplace_back(r.name, r.creates != nullptr ? 201 : r.method == http::verb::delete_ ? 204 : 200);
  metrics_.begin(routes, parts_.names.actions());
}

void app::count_end(const task& before, const task& after, const booking& b) {
  if (b.ledger) metrics_.booked(*b.ledger);
  const auto outcome = outcome_of(after);
  if (!outcome) return;
  metrics_.job_ended(after, *outcome, before.state == task_state::failed);
  if (const auto name = with_figures_.find(after.owner); name != with_figures_.end())
    metrics_.account_job_ended(name->second, *outcome);
}

// What is asked of the store, which may take its time.
awaitable<> app::count_slowly() {
  while (!ended_) {
    co_await note_uses();
    co_await measure_queue();
    measure_accounts();
    callback_trend_.add(metrics_.callbacks(), now());
    counting_timer_.expires_after(between_counts);
    co_await counting_timer_.async_wait(as_result);
  }
}

// By the deadline of the job that has waited longest; that counts only time in which the relay ran.
awaitable<> app::measure_queue() {
  const auto deadline = co_await from_store(*store_, &store::next_due, schedule::expire);
  if (!deadline) co_return;
  const auto waited = now() - (*deadline - config_.submit.deadline);
  oldest_pending_ = is_set(*deadline)
                        ? std::max(std::chrono::floor<std::chrono::seconds>(waited), std::chrono::seconds(0))
                        : std::chrono::seconds(0);
  metrics_.set_oldest_pending(oldest_pending_);
}

// Those with the smallest numbers: which they are changes with none that is made.
void app::measure_accounts() {
  const auto how_many = static_cast<std::size_t>(config_.admin.metrics_accounts);
  if (how_many == 0) return;
  std::unordered_map<std::int64_t, std::string> named;
  for (const account_ptr& a : accounts_.first(how_many)) named.emplace(a->id, a->name);
  for (const auto& [id, name] : with_figures_) {
    const auto still = named.find(id);
    if (still == named.end() || still->second != name) metrics_.forget_account(name);
  }
  with_figures_ = std::move(named);
  for (const auto& [id, name] : with_figures_) metrics_.set_account(name, store_->counts().of(id));
}

// The days on which tokens were used last. What cannot be written down now is forgotten until another day.
awaitable<> app::note_uses() {
  std::vector<std::int64_t> used = accounts_.take_used();
  if (used.empty()) co_return;
  const auto noted = co_await from_store(*store_, &store::note_use, std::move(used), accounts_.day());
  if (!noted) log_->warn("cannot note which tokens were used: {}", noted.error().log.text);
}

readiness app::state() const {
  readiness out;
  const auto add = [&out](std::string_view name, std::string why) {
    out.parts.push_back({name, why.empty(), std::move(why)});
  };
  add("relay", stopping_ ? "it stops" : "");
  add("database",
      store_stopped_ ? "it cannot be written any more; the log says why, and a restart may help" : "");
  add("disk", std::string(disk_->refusal(store_->counts().to_come())));
  // An upstream that takes jobs now, or would as soon as one of its jobs has ended.
  const timestamp time = now();
  const bool any = std::ranges::any_of(dispatcher_->lanes(), [time](const submit_lane& l) {
    return l.mode == lane_mode::open && !l.poll_only && l.state(time) != submit_lane::circuit::open;
  });
  add("upstreams", any ? "" : "none takes jobs now; luma-relay upstream list says why");
  add("queue", oldest_pending_ > config_.submit.deadline / 2
                   ? "a job has waited " + std::to_string(oldest_pending_.count()) +
                         " s to be submitted, more than half of submit.deadline_ms"
                   : "");
  out.ready = !stopping_ && !store_stopped_;
  out.takes_jobs = out.ready && out.parts[2].is_well;
  return out;
}

std::vector<condition> app::troubles() const {
  const std::int64_t to_come = store_->counts().to_come();
  return troubles_of({dispatcher_->lanes(), store_->counts(), store_stopped_, disk_->refusal(to_come),
                      disk_->free_bytes(), disk_->wanted(to_come), oldest_pending_, config_.alerts.pending,
                      callback_trend_});
}

// Counted each second; a line at most each minute.
void app::report_refused_connections() {
  const http::listener::refusals all = public_->refused();
  metrics_.connections_refused("address", all.by_address - counted_.by_address);
  metrics_.connections_refused("all", all.in_all - counted_.in_all);
  counted_ = all;
  const std::uint64_t by_address = all.by_address - logged_.by_address;
  const std::uint64_t in_all = all.in_all - logged_.in_all;
  const auto time = steady_clock::now();
  if (by_address + in_all == 0 || time < refusals_logged_at_ + std::chrono::minutes(1)) return;
  if (by_address > 0)
    log_->warn("{} connections were refused: their address had server.max_connections_per_address ({})",
               by_address, config_.server.max_connections_per_address);
  if (in_all > 0)
    log_->warn("{} connections were refused: server.max_connections, or the limit of open files, was reached",
               in_all);
  logged_ = all;
  refusals_logged_at_ = time;
}

}  // namespace relay
