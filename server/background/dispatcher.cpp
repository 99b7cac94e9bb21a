#include "server/background/dispatcher.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/fault_point.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/outgoing_request.hpp"

namespace relay {
namespace {

constexpr std::int64_t batch = 64;            // pending tasks read at once
constexpr std::int64_t max_per_turn = 1'024;  // pending tasks looked at in one turn
constexpr std::int64_t max_interrupted = 1'000;

std::vector<submit_lane> lanes_of(const std::vector<std::unique_ptr<upstream>>& upstreams) {
  std::vector<submit_lane> lanes;
  for (const auto& u : upstreams) {
    submit_lane l;
    l.name = u->name();
    l.speaks = &u->speaks();
    l.max_in_flight = u->settings().max_connections;
    l.max_open = u->settings().max_concurrent;
    l.per_minute = u->settings().creates_per_minute;
    lanes.push_back(std::move(l));
  }
  return lanes;
}

double seconds_since(steady_clock::time_point t) {
  return std::chrono::duration<double>(steady_clock::now() - t).count();
}

}  // namespace

dispatcher::dispatcher(asio::io_context& loop, store& s, task_changes& changes,
                       std::vector<std::unique_ptr<upstream>>& upstreams, identity who, metrics& m,
                       spdlog::logger& log)
    : loop_(loop),
      store_(s),
      changes_(changes),
      upstreams_(upstreams),
      who_(std::move(who)),
      metrics_(m),
      log_(log),
      wake_(loop),
      slots_(std::make_shared<submit_slots>(lanes_of(upstreams), [this] { wake_.notify(); })) {}

dispatcher::~dispatcher() {
  slots_->detach();
}

awaitable<result<void>> dispatcher::recover() {
  // What this process submits itself is never touched here.
  for (;;) {
    auto left = co_await from_store(store_, &store::interrupted, who_.instance, max_interrupted);
    if (!left) co_return std::unexpected(std::move(left.error()));
    if (left->empty()) break;
    for (const task_ptr& t : *left) {
      log_.error(
          "task {}: a relay stopped while it was submitting it to {}; it may exist there: it is looked up in "
          "the list of {} before anything else",
          t->id, t->upstream, t->upstream);
      task_event e = event::interrupted{t->attempt_id};
      auto changed = co_await changes_.apply(t->id, std::move(e));
      if (!changed) co_return std::unexpected(std::move(changed.error()));
    }
  }
  // Jobs that an upstream works on count against its limit of open jobs.
  for (const submit_lane& l : slots_->lanes()) {
    auto open = co_await from_store(store_, &store::open_at, l.name);
    if (!open) co_return std::unexpected(std::move(open.error()));
    for (const std::string& id : *open) slots_->open_job(id, l.name);
  }
  co_return result<void>{};
}

event::submit_started dispatcher::start_on(const submit_slots::lease& slot, const task& t) const {
  event::submit_started e;
  e.upstream = slot.upstream();
  if (!who_.public_url.empty()) e.marker = t.marker.empty() ? random_word() : t.marker;
  e.attempt_id = make_id(now(), random_for_id());
  e.submitter = who_.instance;
  return e;
}

dispatcher::assigned dispatcher::assign(task t) {
  const timestamp time = now();
  assigned out{std::move(t), std::nullopt};
  if (stopped_) return out;
  // A free upstream that serves it, and no older job that waits for the same one.
  const auto lane = choose(slots_->lanes(), out.value, time);
  if (!lane || slots_->lanes()[*lane].has_waiters) return out;  // what waits for it came first
  // The attempt is written with the task itself: one transaction instead of two.
  out.slot = slots_->acquire(out.value, time);
  const task_event started = start_on(*out.slot, out.value);
  out.value = advance(std::move(out.value), started, time, changes_.limits(), 0);
  return out;
}

void dispatcher::launch(task_ptr t, submit_slots::lease slot) {
  sending_.insert(t->id);
  auto sending = send(std::move(t), std::move(slot));
  asio::co_spawn(loop_.get_executor(), std::move(sending), asio::detached);
}

void dispatcher::saved(const task& t) {
  if (is_set(t.next_submit_at)) wake_.notify_by(t.next_submit_at);
  if (t.state == task_state::pending || is_terminal(t.state)) slots_->close_job(t.id);
}

awaitable<> dispatcher::run() {
  while (!stopped_) {
    const timestamp at = co_await submit_due(now());
    co_await wake_.wait(now(), at);
  }
}

// Submits what can go out now. When to come back; `never`: when something changes.
awaitable<timestamp> dispatcher::submit_due(timestamp time) {
  const turn done = co_await one_turn(time);
  if (!done.readable) co_return never;
  slots_->set_waiters(done.waiting, done.all_seen);
  // A slot that became free during the turn has notified nothing: nothing waited for it yet.
  if (slots_->any_free_for_waiters(now())) co_return time;
  const auto next = co_await from_store(store_, &store::next_due, schedule::submit);
  if (!next) co_return never;
  if (!is_set(*next) || *next > time) co_return *next;
  // Due, and no upstream can take it: a slot that becomes free notifies, or a cool-down ends.
  co_return next_available(slots_->lanes(), time).value_or(never);
}

// Looks past tasks that no upstream can take now: they must not hold up those that one can.
awaitable<dispatcher::turn> dispatcher::one_turn(timestamp time) {
  turn out;
  schedule_cursor after;
  for (std::int64_t seen = 0; seen < max_per_turn;) {
    const auto due = co_await from_store(store_, &store::due, schedule::submit, time, after, batch);
    if (!due) {
      log_.error("cannot read pending tasks, will try again: {}", due.error().log.text);
      out.readable = false;
      break;
    }
    if (stopped_) break;
    for (const task_ptr& t : due->tasks) {
      // It may have changed since it was read.
      const bool is_due = t->state == task_state::pending && t->next_submit_at <= time;
      if (is_due && !sending_.contains(t->id) && !begin(t, time)) out.waiting.push_back(t);
    }
    if (due->rows < batch) break;
    seen += due->rows;
    after = due->last;
    out.all_seen = slots_->any_free(time);
    if (!out.all_seen) break;
  }
  co_return out;
}

// False: no upstream can take it now.
bool dispatcher::begin(const task_ptr& t, timestamp time) {
  auto slot = slots_->acquire(*t, time);
  if (!slot && time < t->deadline) return false;
  sending_.insert(t->id);
  auto work = submit_pending(t, std::move(slot));
  asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
  return true;
}

// The attempt, or the end of waiting, goes on disk first. Null: nothing may be sent.
awaitable<task_ptr> dispatcher::record_start(const task& t, const std::optional<submit_slots::lease>& slot) {
  task_event e = event::submit_expired{};
  if (slot) e = start_on(*slot, t);
  auto recorded = co_await changes_.apply(t.id, std::move(e));
  // On disk: from here on it counts as sent, whatever happens.
  if (recorded) {
    if (!recorded->changed()) co_return nullptr;  // it is no longer pending
    if (!slot) log_.warn("task {}: no upstream could take it in time; it failed", t.id);
    co_return slot ? recorded->after : nullptr;
  }
  // The disk does not take it: nothing may be sent, and not all waiting tasks try again at once.
  log_.error("task {}: cannot record the attempt, nothing was sent, trying again in 1 s: {}", t.id,
             recorded.error().log.text);
  steady_timer pause(loop_.get_executor());
  pause.expires_after(std::chrono::seconds(1));
  co_await pause.async_wait(as_result);
  co_return nullptr;
}

awaitable<> dispatcher::submit_pending(task_ptr t, std::optional<submit_slots::lease> slot) {
  // Whatever is thrown before the attempt is on disk, nothing was sent.
  task_ptr recorded;
  try {
    recorded = co_await record_start(*t, slot);
  } catch (const std::exception& e) {
    log_.error("task {}: nothing was sent: {}", t->id, e.what());
  }
  if (recorded) {
    co_await send(std::move(recorded), std::move(*slot));
    co_return;
  }
  // The slot goes back before the next turn looks for a free one.
  sending_.erase(t->id);
  slot.reset();
  wake_.notify();
}

awaitable<> dispatcher::send(task_ptr t, submit_slots::lease slot) {
  slot.sent();
  std::string thrown;
  try {
    co_await exchange_and_save(*t, slot.lane());
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  // Whether the request went out is not known: that is an outcome too.
  if (!thrown.empty()) {
    log_.error("task {}: the submission ended by an exception; it is looked up in the list of {}: {}", t->id,
               t->upstream, thrown);
    task_event e = event::outcome_unknown{t->attempt_id};
    co_await save_outcome(*t, std::move(e), "unknown");
  }
  sending_.erase(t->id);
}

awaitable<> dispatcher::exchange_and_save(const task& t, std::size_t lane) {
  upstream& to = *upstreams_[lane];
  // What the client asked for, in the words of this upstream.
  const outgoing_settings with{to.settings().default_model, who_.public_url};
  auto what = co_await outgoing_request(store_, t, to.speaks(), with);
  if (!what) {
    log_.warn("task {}: not sent: {}", t.id, what.error().log.text);
    task_event e = event::rejected{what.error().http_status(), what.error().message.text, t.attempt_id};
    if (what.error().http_status() >= 500)
      e = event::unavailable{{}, false, t.attempt_id};  // ours, and nothing was sent
    co_await save_outcome(t, std::move(e), "nothing was sent");
    co_return;
  }

  // One exchange, at most once.
  const auto started = steady_clock::now();
  const exchange x = co_await to.create(*what);
  fault_point("response to a create read, not saved");
  submit_outcome outcome = classify_submit(x, to.speaks());
  metrics_.upstream_call(to.name(), "create", name_of(outcome.what), seconds_since(started));

  // What it says of the upstream, then what it says of the task.
  const policy& p = changes_.limits();
  milliseconds pause{0};
  if (outcome.whole_upstream) {
    pause = (*slots_)[lane].failure(now(), outcome.cool_down, p.submit_retry, p.submit_retry_max);
  } else {
    (*slots_)[lane].success();
  }
  log_outcome(t, outcome, to.name(), pause);
  // The outcome of a submission must not be lost: it is kept in memory until the disk takes it.
  task_event e = for_attempt(std::move(outcome.event), t.attempt_id);
  std::string note = std::string(name_of(outcome.what)) + " " + outcome.note;
  co_await save_outcome(t, std::move(e), std::move(note));
}

awaitable<> dispatcher::save_outcome(const task& t, task_event e, std::string note) {
  const auto saved = co_await changes_.apply_surely(t.id, std::move(e));
  if (!saved) {
    log_.critical("task {}: the end of its submission to {} is not recorded ({}): {}", t.id, t.upstream, note,
                  saved.error().log.text);
  } else if (!saved->changed()) {
    log_.error("task {}: the end of its submission to {} ({}) came after another change, and changes nothing",
               t.id, t.upstream, note);
  }
}

void dispatcher::log_outcome(const task& t, const submit_outcome& o, const std::string& upstream_name,
                             milliseconds pause) {
  using kind = submit_outcome::kind;
  const double seconds = static_cast<double>(pause.count()) / 1000;
  switch (o.what) {
    case kind::accepted:
      log_.info("task {}: {} accepted it {}", t.id, upstream_name, o.note);
      break;
    case kind::rejected:
      log_.info("task {}: {} refused it: {}", t.id, upstream_name, o.note);
      break;
    case kind::unavailable:
      log_.warn("task {}: {} could not take it ({}); no more jobs go there for {} s, this one is tried again",
                t.id, upstream_name, o.note, seconds);
      break;
    case kind::unknown:
      log_.error(
          "task {}: {} may or may not have created it ({}); it is not submitted again but looked up in the "
          "list "
          "of {}, and no more jobs go there for {} s",
          t.id, upstream_name, o.note, upstream_name, seconds);
      break;
  }
}

void dispatcher::stop() {
  stopped_ = true;
  wake_.notify();
}

}  // namespace relay
