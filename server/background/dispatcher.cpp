#include "server/background/dispatcher.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "server/await_store.hpp"
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
                       const policy& p, metrics& m, spdlog::logger& log)
    : loop_(loop), store_(s), upstreams_(upstreams), policy_(p), metrics_(m), log_(log), alarm_(loop) {
  for (const auto& u : upstreams_) {
    lane l;
    l.name = u->name();
    l.speaks = u->speaks();
    l.max_in_flight = u->settings().max_connections;
    l.max_open = u->settings().max_concurrent;
    lanes_.push_back(std::move(l));
  }
}

std::size_t dispatcher::lane_of(const std::string& name) const {
  std::size_t i = 0;
  while (i < lanes_.size() && lanes_[i].name != name) ++i;
  return i;
}

awaitable<result<void>> dispatcher::recover() {
  auto interrupted = store_.in_state(task_state::submitting, 1'000'000);
  if (!interrupted) co_return std::unexpected(std::move(interrupted.error()));
  for (const task& t : *interrupted) {
    log_.error(
        "task {}: the relay stopped while it was submitting to {}; it may exist there, so it is not "
        "submitted again",
        t.id, t.upstream);
    auto saved = co_await save(store_, advance(t, event::interrupted{}, wall_now(), policy_, random_share()));
    if (!saved) co_return std::unexpected(std::move(saved.error()));
  }
  for (lane& l : lanes_) {
    auto open = store_.count_open(l.name);
    if (!open) co_return std::unexpected(std::move(open.error()));
    l.open = *open;
  }
  co_return result<void>{};
}

void dispatcher::reserve(std::size_t i) {
  ++lanes_[i].in_flight;
  ++lanes_[i].open;
}

void dispatcher::free(std::size_t i) {
  --lanes_[i].in_flight;
  --lanes_[i].open;
}

bool dispatcher::any_wanted() const {
  return std::ranges::any_of(lanes_, [](const lane& l) { return l.wanted; });
}

task dispatcher::assign(task t) {
  const timestamp now = wall_now();
  if (stopped_) return t;
  const auto i = choose(lanes_, t, now);
  if (!i || lanes_[*i].wanted) return t;  // who waits for it came first
  reserve(*i);
  return advance(std::move(t), event::submit_started{lanes_[*i].name}, now, policy_, 0);
}

void dispatcher::release(const std::string& upstream_name) {
  const std::size_t i = lane_of(upstream_name);
  if (i == lanes_.size()) return;
  free(i);
  alarm_.nudge();
}

void dispatcher::launch(task t) {
  sending_.insert(t.id);
  auto sending = send(std::move(t));
  asio::co_spawn(loop_.get_executor(), std::move(sending), asio::detached);
}

void dispatcher::saved(const task& t) {
  if (is_set(t.next_submit_at)) alarm_.consider(t.next_submit_at);
  if (is_terminal(t.state) && is_set(t.started_at) && t.finished_at == t.updated_at) {
    const std::size_t i = lane_of(t.upstream);
    if (i < lanes_.size() && lanes_[i].open > 0) {
      --lanes_[i].open;
      if (lanes_[i].wanted) alarm_.nudge();
    }
  }
}

awaitable<> dispatcher::run() {
  while (!stopped_) {
    const timestamp now = wall_now();
    hand_out(now);
    auto due = store_.next_due(schedule::submit);
    timestamp at = due ? *due : never;
    // Due, and nobody can take it: a slot that is freed nudges, else an upstream's hold-off ends.
    if (is_set(at) && at <= now) at = next_opening(lanes_, now);
    co_await alarm_.wait(wall_now(), at);
  }
}

// Looks past tasks that nobody can take now: they must not hold up those that somebody can.
void dispatcher::hand_out(timestamp now) {
  for (lane& l : lanes_) l.wanted = false;
  for (std::int64_t offset = 0; offset < most_looked_at; offset += batch) {
    auto due = store_.due(schedule::submit, now, batch, offset);
    if (!due) {
      log_.error("cannot read pending tasks, will try again: {}", due.error().log.text);
      return;
    }
    const bool last_page = std::ssize(*due) < batch;
    for (task& t : *due) {
      if (sending_.contains(t.id)) continue;
      const auto i = choose(lanes_, t, now);
      if (!i) {
        for (lane& l : lanes_) l.wanted = l.wanted || serves(l, t);
        if (now < t.deadline) continue;
      }
      sending_.insert(t.id);
      if (i) reserve(*i);
      auto work = submit_pending(std::move(t), i);
      asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
    }
    const bool any_open = std::ranges::any_of(lanes_, [now](const lane& l) { return l.can_take(now); });
    if (last_page || !any_open) return;
  }
}

// The attempt, or the end of waiting, goes on disk first. False: nothing may be sent.
awaitable<bool> dispatcher::record_start(task& t, std::optional<std::size_t> lane_index) {
  task_event e = event::submit_expired{};
  if (lane_index) e = event::submit_started{lanes_[*lane_index].name};
  task next = advance(t, e, wall_now(), policy_, 0);
  auto written = co_await save(store_, std::move(next));
  if (!written) {
    log_.error("task {}: cannot record the attempt, nothing was sent, trying again in 1 s: {}", t.id,
               written.error().log.text);
    steady_timer pause(loop_.get_executor());
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
    co_return false;
  }
  t = std::move(*written);
  if (!lane_index) log_.warn("task {}: no upstream could take it in time; it failed", t.id);
  co_return lane_index.has_value();
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
  if (lane_index) free(*lane_index);
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
    log_.error("task {}: the submission ended by an exception; what {} made of it is not known: {}", t.id,
               t.upstream, thrown);
    --lanes_[i].open;
    co_await save_surely(advance(t, event::outcome_unknown{}, wall_now(), policy_, 0));
  }
  --lanes_[i].in_flight;
  sending_.erase(t.id);
  if (any_wanted()) alarm_.nudge();
}

awaitable<> dispatcher::send_and_save(const task& t) {
  const std::size_t i = lane_of(t.upstream);
  upstream& to = *upstreams_[i];
  const auto translate = [&](const std::string& id) -> std::optional<std::string> {
    auto other = store_.find(t.owner, id);
    if (!other || !*other || (*other)->upstream_id.empty()) return std::nullopt;
    return (*other)->upstream_id;
  };
  auto what = make_outgoing(t, to.speaks(), to.settings().default_model, translate);
  if (!what) {
    --lanes_[i].open;
    log_.warn("task {}: not sent: {}", t.id, what.error().log.text);
    const task_event refused = event::rejected{what.error().http_status(), what.error().message.text};
    co_await save_surely(advance(t, refused, wall_now(), policy_, 0));
    co_return;
  }

  lane& l = lanes_[i];
  const timestamp held_before = l.not_before;
  const auto started = steady_clock::now();
  const exchange x = co_await to.create(*what);
  const submit_outcome outcome = classify_submit(x);
  metrics_.upstream_call(to.name(), "create", name_of(outcome.what), seconds_since(started));

  const timestamp now = wall_now();
  using kind = submit_outcome::kind;
  switch (outcome.what) {
    case kind::accepted:
      log_.info("task {}: {} accepted it {}", t.id, to.name(), outcome.note);
      if (l.not_before == held_before) l.not_before = never;  // not one that came meanwhile
      break;
    case kind::rejected:
      log_.info("task {}: {} refused it: {}", t.id, to.name(), outcome.note);
      break;
    case kind::unavailable:
      log_.warn(
          "task {}: {} could not take it ({}); no more jobs go there for {} s, this one waits for its next "
          "turn",
          t.id, to.name(), outcome.note, outcome.hold_off.count() / 1000);
      if (outcome.hold_off.count() > 0) l.not_before = std::max(l.not_before, now + outcome.hold_off);
      break;
    case kind::unknown:
      log_.error("task {}: {} may or may not have created it ({}); it is not submitted again and fails", t.id,
                 to.name(), outcome.note);
      break;
  }
  task next = advance(t, outcome.event, now, policy_, random_share());
  if (!is_set(next.started_at)) --l.open;
  co_await save_surely(std::move(next));
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
