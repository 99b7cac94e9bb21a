#include "server/background/dispatcher.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/fault_point.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/upstream/outcome.hpp"

namespace relay {
namespace {

constexpr std::int64_t batch = 64;              // pending tasks read at once
constexpr std::int64_t most_looked_at = 1'024;  // in one turn

double seconds_since(steady_clock::time_point t) {
  return std::chrono::duration<double>(steady_clock::now() - t).count();
}

}  // namespace

dispatcher::dispatcher(asio::io_context& loop, store& s, std::vector<std::unique_ptr<upstream>>& upstreams,
                       const policy& p, std::string public_url, metrics& m, spdlog::logger& log)
    : loop_(loop),
      store_(s),
      upstreams_(upstreams),
      policy_(p),
      public_url_(std::move(public_url)),
      metrics_(m),
      log_(log),
      alarm_(loop) {
  for (const auto& u : upstreams_) {
    lane l;
    l.name = u->name();
    l.speaks = u->speaks();
    l.max_in_flight = u->settings().max_connections;
    l.max_open = u->settings().max_concurrent;
    l.per_minute = u->settings().creates_per_minute;
    lanes_.push_back(std::move(l));
  }
}

std::size_t dispatcher::lane_of(const std::string& name) const {
  std::size_t i = 0;
  while (i < lanes_.size() && lanes_[i].name != name) ++i;
  return i;
}

awaitable<result<void>> dispatcher::recover() {
  auto submitted = store_.in_state(task_state::submitting, 1'000'000);
  if (!submitted) co_return std::unexpected(std::move(submitted.error()));
  for (const task& t : *submitted) {
    if (is_ambiguous(t)) continue;
    log_.error(
        "task {}: the relay stopped while it was submitting to {}; it may exist there: it is looked for in "
        "{}'s "
        "list before anything else",
        t.id, t.upstream, t.upstream);
    auto saved = co_await save(store_, advance(t, event::interrupted{}, now(), policy_, random_share()));
    if (!saved) co_return std::unexpected(std::move(saved.error()));
  }
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    auto open = store_.open_at(lanes_[i].name);
    if (!open) co_return std::unexpected(std::move(open.error()));
    for (const std::string& id : *open) hold(id, i);
  }
  co_return result<void>{};
}

void dispatcher::hold(const std::string& id, std::size_t i) {
  if (holders_.emplace(id, i).second) ++lanes_[i].open;
}

void dispatcher::let_go(const std::string& id) {
  const auto found = holders_.find(id);
  if (found == holders_.end()) return;
  --lanes_[found->second].open;
  if (lanes_[found->second].wanted) alarm_.nudge();
  holders_.erase(found);
}

void dispatcher::reserve(std::size_t i, const std::string& id, timestamp time) {
  lanes_[i].started(time);
  hold(id, i);
}

bool dispatcher::any_wanted() const {
  return std::ranges::any_of(lanes_, [](const lane& l) { return l.wanted; });
}

event::submit_started dispatcher::start_on(std::size_t i, const task& t) const {
  event::submit_started e;
  e.upstream = lanes_[i].name;
  if (!public_url_.empty()) e.marker = t.marker.empty() ? random_word() : t.marker;
  return e;
}

task dispatcher::assign(task t) {
  const timestamp time = now();
  if (stopped_) return t;
  const auto i = choose(lanes_, t, time);
  if (!i || lanes_[*i].wanted) return t;  // who waits for it came first
  reserve(*i, t.id, time);
  const task_event started = start_on(*i, t);
  return advance(std::move(t), started, time, policy_, 0);
}

void dispatcher::release(const task& t) {
  const std::size_t i = lane_of(t.upstream);
  if (i == lanes_.size() || t.state != task_state::submitting) return;
  lanes_[i].taken_back();
  let_go(t.id);
  alarm_.nudge();
}

void dispatcher::launch(task t) {
  sending_.insert(t.id);
  auto sending = send(std::move(t));
  asio::co_spawn(loop_.get_executor(), std::move(sending), asio::detached);
}

void dispatcher::saved(const task& t) {
  if (is_set(t.next_submit_at)) alarm_.consider(t.next_submit_at);
  if (t.state == task_state::pending || is_terminal(t.state)) let_go(t.id);
}

result<outgoing> dispatcher::request_for(const task& t, const upstream& to) const {
  std::optional<error> unread;
  const auto translate = [&](const std::string& id) -> std::optional<std::string> {
    auto other = store_.find(t.owner, id);
    if (!other) unread = std::move(other.error());
    if (!other || !*other || (*other)->upstream_id.empty()) return std::nullopt;
    return (*other)->upstream_id;
  };
  const outgoing_settings with{to.speaks(), to.settings().default_model, public_url_};
  auto out = make_outgoing(t, with, translate);
  if (unread) return std::unexpected(std::move(*unread));
  return out;
}

awaitable<> dispatcher::run() {
  while (!stopped_) {
    const timestamp time = now();
    hand_out(time);
    auto due = store_.next_due(schedule::submit);
    timestamp at = due ? *due : never;
    // Due, and nobody can take it: a slot that is freed nudges, else an upstream's opening comes.
    if (is_set(at) && at <= time) at = next_opening(lanes_, time);
    co_await alarm_.wait(now(), at);
  }
}

// Looks past tasks that nobody can take now: they must not hold up those that somebody can.
void dispatcher::hand_out(timestamp time) {
  for (lane& l : lanes_) l.wanted = false;
  for (std::int64_t offset = 0; offset < most_looked_at; offset += batch) {
    auto due = store_.due(schedule::submit, time, batch, offset);
    if (!due) {
      log_.error("cannot read pending tasks, will try again: {}", due.error().log.text);
      return;
    }
    const bool last_page = std::ssize(*due) < batch;
    for (task& t : *due) {
      if (sending_.contains(t.id)) continue;
      const auto i = choose(lanes_, t, time);
      if (!i) {
        for (lane& l : lanes_) l.wanted = l.wanted || serves(l, t);
        if (time < t.deadline) continue;
      }
      sending_.insert(t.id);
      if (i) reserve(*i, t.id, time);
      auto work = submit_pending(std::move(t), i);
      asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
    }
    const bool any_open = std::ranges::any_of(lanes_, [time](const lane& l) { return l.can_take(time); });
    if (last_page || !any_open) return;
  }
}

// The attempt, or the end of waiting, goes on disk first. False: nothing may be sent.
awaitable<bool> dispatcher::record_start(task& t, std::optional<std::size_t> lane_index) {
  task_event e = event::submit_expired{};
  if (lane_index) e = start_on(*lane_index, t);
  task next = advance(t, e, now(), policy_, 0);
  auto written = co_await save(store_, std::move(next));
  if (written) {
    t = std::move(*written);
    if (!lane_index) log_.warn("task {}: no upstream could take it in time; it failed", t.id);
    co_return lane_index.has_value();
  }
  if (written.error().code == errc::conflict) co_return false;  // cancelled meanwhile
  log_.error("task {}: cannot record the attempt, nothing was sent, trying again in 1 s: {}", t.id,
             written.error().log.text);
  steady_timer pause(loop_.get_executor());
  pause.expires_after(std::chrono::seconds(1));
  co_await pause.async_wait(as_result);
  co_return false;
}

awaitable<> dispatcher::submit_pending(task t, std::optional<std::size_t> lane_index) {
  bool recorded = false;
  try {
    recorded = co_await record_start(t, lane_index);
  } catch (const std::exception& e) {
    log_.error("task {}: nothing was sent: {}", t.id, e.what());
  }
  if (recorded) {
    co_await send(std::move(t));
    co_return;
  }
  if (lane_index) {
    lanes_[*lane_index].taken_back();
    let_go(t.id);
  }
  sending_.erase(t.id);
  alarm_.nudge();
}

awaitable<> dispatcher::send(task t) {
  const std::size_t i = lane_of(t.upstream);
  std::string thrown;
  try {
    co_await send_and_save(t);
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  if (!thrown.empty()) {
    log_.error("task {}: the submission ended by an exception; it is looked for in {}'s list: {}", t.id,
               t.upstream, thrown);
    co_await save_surely(advance(t, event::outcome_unknown{}, now(), policy_, 0));
  }
  --lanes_[i].in_flight;
  sending_.erase(t.id);
  if (any_wanted()) alarm_.nudge();
}

awaitable<> dispatcher::send_and_save(const task& t) {
  const std::size_t i = lane_of(t.upstream);
  upstream& to = *upstreams_[i];
  auto what = request_for(t, to);
  if (!what) {
    log_.warn("task {}: not sent: {}", t.id, what.error().log.text);
    task_event refused = event::rejected{what.error().http_status(), what.error().message.text};
    if (what.error().http_status() >= 500)
      refused = event::unavailable{};  // ours to mend, and nothing was sent
    co_await save_surely(advance(t, refused, now(), policy_, 0));
    co_return;
  }

  const auto started = steady_clock::now();
  const exchange x = co_await to.create(*what);
  fault_point("answer to a create read, not saved");
  const submit_outcome outcome = classify_submit(x);
  metrics_.upstream_call(to.name(), "create", name_of(outcome.what), seconds_since(started));

  const timestamp time = now();
  lane& l = lanes_[i];
  milliseconds pause{0};
  if (outcome.whole_upstream) {
    pause = l.troubled(time, outcome.hold_off, policy_.submit_retry, policy_.submit_retry_max);
  } else {
    l.well();
  }
  using kind = submit_outcome::kind;
  switch (outcome.what) {
    case kind::accepted:
      log_.info("task {}: {} accepted it {}", t.id, to.name(), outcome.note);
      break;
    case kind::rejected:
      log_.info("task {}: {} refused it: {}", t.id, to.name(), outcome.note);
      break;
    case kind::unavailable:
      log_.warn(
          "task {}: {} could not take it ({}); no more jobs go there for {} s, this one waits for its next "
          "turn",
          t.id, to.name(), outcome.note, static_cast<double>(pause.count()) / 1000);
      break;
    case kind::unknown:
      log_.error(
          "task {}: {} may or may not have created it ({}); it is not submitted again but looked for in {}'s "
          "list, and no more jobs go there for {} s",
          t.id, to.name(), outcome.note, to.name(), static_cast<double>(pause.count()) / 1000);
      break;
  }
  co_await save_surely(advance(t, outcome.event, time, policy_, random_share()));
}

// The outcome of a submission is worth more than our patience: it is held in memory until the disk takes it.
awaitable<> dispatcher::save_surely(task t) {
  steady_timer pause(loop_.get_executor());
  for (;;) {
    auto written = co_await save(store_, t);
    if (written) co_return;
    if (written.error().code == errc::conflict) {
      log_.error("task {}: somebody else changed it while it was submitted: {}", t.id,
                 written.error().log.text);
      co_return;
    }
    if (abandoned_) {
      log_.critical("task {}: stopping without a record of the outcome ({}, upstream id {}): {}", t.id,
                    name_of(t.state), t.upstream_id, written.error().log.text);
      co_return;
    }
    log_.error("task {}: cannot record the outcome ({}), trying again in 1 s: {}", t.id, name_of(t.state),
               written.error().log.text);
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
  }
}

void dispatcher::stop() {
  stopped_ = true;
  alarm_.nudge();
}

}  // namespace relay
