#include "server/background/dispatcher.hpp"

#include <spdlog/fmt/fmt.h>
#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/fault_point.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/outgoing_request.hpp"
#include "server/wait_group.hpp"

namespace relay {
namespace {

constexpr std::int64_t page = 256;  // pending tasks read at once
constexpr std::int64_t max_interrupted = 1'000;
constexpr std::chrono::seconds between_notes{2};

// How a lost submission is looked up.
std::string_view lookup_of(const upstream& at, const task& t) {
  if (at.speaks().build_list != nullptr) return ", but looked up in the upstream's list";
  return t.marker.empty() ? ", and this upstream has no list in which it could be looked up"
                          : "; this upstream has no list, so only its callback can show the job";
}

double seconds_since(steady_clock::time_point t) {
  return std::chrono::duration<double>(steady_clock::now() - t).count();
}

}  // namespace

dispatcher::dispatcher(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, identity who,
                       metrics& m, spdlog::logger& log)
    : loop_(loop),
      store_(s),
      changes_(changes),
      upstreams_(all),
      who_(std::move(who)),
      metrics_(m),
      log_(log),
      wake_(loop),
      expiry_(loop),
      remember_(loop.get_executor()),
      queues_(who_.weight_of),
      slots_(std::make_shared<submit_slots>(std::vector<submit_lane>{}, [this] { wake_.notify(); })) {}

dispatcher::~dispatcher() {
  slots_->detach();
}

awaitable<result<std::vector<dispatcher::lane_facts>>> dispatcher::read_facts(
    std::vector<std::string> names) {
  const auto known = co_await from_store(store_, &store::lane_memories);
  if (!known) co_return std::unexpected(known.error());
  kept_ = *known;
  std::vector<lane_facts> out;
  for (const std::string& name : names) {
    lane_facts f{name, {name, lane_mode::open, 0, 0}, {}};
    const auto memory = std::ranges::find(*known, name, &lane_memory::name);
    if (memory != known->end()) f.memory = *memory;
    auto open = co_await from_store(store_, &store::open_at, name);
    if (!open) co_return std::unexpected(std::move(open.error()));
    f.open = std::move(*open);
    out.push_back(std::move(f));
  }
  co_return out;
}

void dispatcher::use(const std::vector<planned_upstream>& plan, const std::vector<std::size_t>& places,
                     const std::vector<lane_facts>& facts) {
  // Lanes are in the order of all upstreams; what the configuration does not name any more is closed.
  std::vector<bool> named(upstreams_.all().size(), false);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    named[places[i]] = true;
    if (places[i] < slots_->lanes().size()) {
      const bool was_closed = slots_->lanes()[places[i]].mode == lane_mode::closed;
      slots_->change(places[i], plan[i].lane, plan[i].is_other);
      // What an operator said of it before still holds.
      const auto kept = std::ranges::find(kept_, plan[i].lane.name, &lane_memory::name);
      if (was_closed && kept != kept_.end()) slots_->set_mode(places[i], kept->mode, now());
    } else {
      slots_->add(plan[i].lane);
    }
  }
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (!named[i]) slots_->set_mode(i, lane_mode::closed, now());
  }
  for (const lane_facts& f : facts) learn(f);
  requeue_ = true;
  wake_.notify();
}

void dispatcher::learn(const lane_facts& f) {
  const auto lane = std::ranges::find(slots_->lanes(), f.name, &submit_lane::name);
  if (lane == slots_->lanes().end()) return;
  submit_lane& l = (*slots_)[static_cast<std::size_t>(lane - slots_->lanes().begin())];
  l.remember(f.memory, now());
  if (l.mode == lane_mode::paused || l.mode == lane_mode::draining)
    log_.warn("{} is {}, as an operator left it; luma-relay upstream resume {} lets jobs go there again",
              l.name, name_of(l.mode), l.name);
  // Jobs that an upstream works on count against its limit of open jobs. One may have ended since it was
  // read.
  for (const std::string& id : f.open) {
    const task_ptr newest = store_.in_memory(id);
    if (!newest || !is_terminal(newest->state)) slots_->open_job(id, l.name);
  }
}

awaitable<result<void>> dispatcher::keep_lanes() {
  if (!lanes_known_) co_return result<void>{};  // what is on disk is newer
  for (std::size_t i = 0; i < slots_->lanes().size(); ++i) {
    lane_memory m = slots_->lanes()[i].memory();
    const auto kept = std::ranges::find(kept_, m.name, &lane_memory::name);
    if (m.mode == lane_mode::closed) m.mode = kept != kept_.end() ? kept->mode : lane_mode::open;
    const lane_memory unknown{m.name, lane_mode::open, 0, 0};
    if (m == (kept != kept_.end() ? *kept : unknown)) continue;
    const auto written = co_await from_store(store_, &store::keep_lane, m);
    if (!written) co_return std::unexpected(written.error());
    std::erase_if(kept_, [&m](const lane_memory& k) { return k.name == m.name; });
    kept_.push_back(m);
  }
  co_return result<void>{};
}

// What was learned is written down once in a while; after a crash the last seconds of it are learned again.
awaitable<> dispatcher::remember() {
  while (!stopped_) {
    remember_.expires_after(between_notes);
    co_await remember_.async_wait(as_result);
    if (stopped_) break;
    const auto kept = co_await keep_lanes();
    if (!kept)
      log_.error("cannot write down the limits of upstreams, will try again: {}", kept.error().log.text);
  }
}

awaitable<result<void>> dispatcher::set_mode(std::size_t lane, lane_mode m) {
  slots_->set_mode(lane, m, now());
  requeue_ = true;
  wake_.notify();
  co_return co_await keep_lanes();
}

awaitable<result<void>> dispatcher::recover() {
  // What this process submits itself is never touched here.
  for (;;) {
    auto left = co_await from_store(store_, &store::interrupted, who_.instance, max_interrupted);
    if (!left) co_return std::unexpected(std::move(left.error()));
    if (left->empty()) break;
    for (const task_ptr& t : *left) {
      const upstream* at = upstreams_.find(t->upstream);
      log_.error(
          "task {}: a relay stopped while it was submitting it to {}; it may exist there, and is not "
          "submitted "
          "again{}",
          t->id, t->upstream,
          at == nullptr ? ", and this upstream is not configured any more" : lookup_of(*at, *t));
      task_event e = event::interrupted{t->attempt_id};
      auto changed = co_await changes_.apply(t->id, std::move(e));
      if (!changed) co_return std::unexpected(std::move(changed.error()));
    }
  }
  std::vector<std::string> names;
  for (const submit_lane& l : slots_->lanes()) names.push_back(l.name);
  const auto facts = co_await read_facts(std::move(names));
  if (!facts) co_return std::unexpected(facts.error());
  for (const lane_facts& f : *facts) learn(f);
  lanes_known_ = true;
  const auto waiting = co_await from_store(store_, &store::submit_queues);
  if (!waiting) co_return std::unexpected(waiting.error());
  for (const submit_queue& q : *waiting) queues_.open(q);
  requeue_ = false;  // they are as the lanes are
  slots_->set_waiters(queues_.wanted(now()));
  co_return result<void>{};
}

event::submit_started dispatcher::start_on(const submit_slots::lease& slot, const task& t) const {
  event::submit_started e;
  e.upstream = slot.upstream();
  const bool calls_back = !upstreams_.all()[slot.lane()]->speaks().marker_field.empty();
  if (!who_.public_url.empty() && calls_back) e.marker = t.marker.empty() ? random_word() : t.marker;
  e.attempt_id = make_id(now(), random_for_id());
  e.submitter = who_.instance;
  return e;
}

dispatcher::assigned dispatcher::assign(std::shared_ptr<task> t) {
  const timestamp time = now();
  assigned out{std::move(t), std::nullopt};
  if (stopped_) return out;
  // A free upstream that serves it, and no older job that waits for the same one.
  const auto chosen = slots_->choose_for(*out.value, time);
  if (!chosen || slots_->lanes()[chosen->lane].has_waiters) return out;  // what waits for it came first
  // The attempt is written with the task itself: one transaction instead of two.
  out.slot = slots_->acquire(*out.value, time, *chosen);
  const task_event started = start_on(*out.slot, *out.value);
  *out.value = advance(std::move(*out.value), started, time, changes_.limits(), 0);
  return out;
}

void dispatcher::launch(task_ptr t, submit_slots::lease slot) {
  sending_.insert(t->id);
  auto sending = send(std::move(t), std::move(slot));
  asio::co_spawn(loop_.get_executor(), std::move(sending), asio::detached);
}

void dispatcher::saved(const task& t) {
  if (t.state == task_state::pending && is_set(t.next_submit_at)) wait_again(t);
  if (t.state == task_state::pending || is_terminal(t.state)) slots_->close_job(t.id);
  if (t.state != task_state::pending && t.state != task_state::submitting) slots_->forget(t.id);
}

void dispatcher::wait_again(const task& t) {
  queues_.add({t.owner, t.pinned ? t.upstream : ""}, {t.next_submit_at, t.id}, slots_->serving(t));
  wake_.notify_by(t.next_submit_at);
  expiry_.notify_by(t.deadline);
}

// ---- those that wait, in turn

awaitable<> dispatcher::run() {
  auto expiring = expire();
  asio::co_spawn(loop_.get_executor(), std::move(expiring), asio::detached);
  auto remembering = remember();
  asio::co_spawn(loop_.get_executor(), std::move(remembering), asio::detached);
  while (!stopped_) {
    const timestamp at = co_await submit_due(now());
    co_await wake_.wait(now(), at);
  }
}

// Submits what can go out now. When to come back; `never`: when something changes.
awaitable<timestamp> dispatcher::submit_due(timestamp time) {
  constexpr std::chrono::seconds again{1};
  const bool prepared = co_await offer_again(time);
  if (!prepared) co_return time + again;
  while (!stopped_) {
    if (requeue_) {
      const bool again_prepared = co_await offer_again(time);
      if (!again_prepared) co_return time + again;
    }
    const lane_set free = slots_->free(time);
    if (auto unread = free != 0 ? queues_.to_read(time, free) : std::nullopt) {
      const bool readable = co_await read_on(std::move(*unread));
      if (!readable) co_return time + again;
      continue;
    }
    auto next = queues_.next(time, free);
    if (!next) break;
    const bool readable = co_await begin(std::move(*next), time);
    if (!readable) co_return time + again;
  }
  slots_->set_waiters(queues_.wanted(time));
  // A slot that became free during the turn has notified nothing: nothing waited for it yet.
  if (slots_->any_free_for_waiters(now())) co_return time;
  // A slot that becomes free notifies; a cool-down ends, or a task becomes due.
  const timestamp due = queues_.next_due(time).value_or(timestamp::max());
  const timestamp at = std::min({due, next_available(slots_->lanes(), time).value_or(timestamp::max()),
                                 slots_->next_hold_off_end().value_or(timestamp::max())});
  co_return at == timestamp::max() ? never : at;
}

// Tasks that a lane may be offered again, and after a change of the lanes those of all queues: they are read
// anew, since other lanes serve them now. False: the store cannot be read now.
awaitable<bool> dispatcher::offer_again(timestamp time) {
  if (std::exchange(requeue_, false)) {
    queues_.start_over();  // what is saved from here on is added
    const auto waiting = co_await from_store(store_, &store::submit_queues);
    if (!waiting) {
      log_.error("cannot read which jobs wait, will try again: {}", waiting.error().log.text);
      requeue_ = true;
      co_return false;
    }
    for (const submit_queue& q : *waiting) queues_.open(q);
  }
  for (const std::string& id : slots_->end_hold_offs(time)) {
    const auto loaded = co_await load_task(store_, id);
    if (loaded && *loaded && (*loaded)->state == task_state::pending && !sending_.contains(id))
      wait_again(**loaded);
  }
  co_return true;
}

// False: the store cannot be read now.
awaitable<bool> dispatcher::read_on(submit_queue q) {
  const submit_queues::place from = queues_.read_to(q);
  queues_.begin_reading(q);
  const schedule_cursor after{from.at, from.task_id};
  const auto read = co_await from_store(store_, &store::pending, q, after, page);
  if (!read) {
    log_.error("cannot read pending tasks, will try again: {}", read.error().log.text);
    queues_.end_reading(q, from, true);
    co_return false;
  }
  // It may have changed since it was read; those that are being sent are no longer waiting.
  for (const task_ptr& t : read->tasks) {
    if (t->state == task_state::pending && !sending_.contains(t->id))
      queues_.add(q, {t->next_submit_at, t->id}, slots_->serving(*t));
  }
  queues_.end_reading(q, {read->last.at, read->last.task_id}, read->rows == page);
  co_return true;
}

// Sends one that was taken out of its queue. False: the store cannot be read now.
awaitable<bool> dispatcher::begin(submit_queues::waiting next, timestamp time) {
  auto loaded = co_await load_task(store_, next.where.task_id);
  if (!loaded && loaded.error().code != errc::internal) {
    log_.error("cannot read task {}, will try again: {}", next.where.task_id, loaded.error().log.text);
    queues_.add(next.queue, std::move(next.where), next.lanes);
    co_return false;
  }
  // One that cannot be read is left alone; one that has changed has a new place, or needs none.
  if (!loaded || !*loaded) co_return true;
  const task_ptr t = std::move(*loaded);
  if (t->state != task_state::pending || t->next_submit_at > time || sending_.contains(t->id)) co_return true;
  auto slot = slots_->acquire(*t, time);
  if (!slot) {  // taken by a new one meanwhile, or the lanes that could take it are others now
    queues_.add(next.queue, std::move(next.where), slots_->serving(*t));
    co_return true;
  }
  queues_.end_turn(next);
  sending_.insert(t->id);
  auto work = submit_pending(t, std::move(*slot));
  asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
  co_return true;
}

// The attempt goes on disk first. Null: nothing may be sent.
awaitable<task_ptr> dispatcher::record_start(const task& t, const submit_slots::lease& slot) {
  task_event e = start_on(slot, t);
  auto recorded = co_await changes_.apply(t.id, std::move(e));
  // On disk: from here on it counts as sent, whatever happens. Unchanged: it is no longer pending.
  if (recorded) co_return recorded->changed() ? recorded->after : nullptr;
  // The disk does not take it: nothing may be sent, and not all waiting tasks try again at once.
  log_.error("task {}: cannot record the attempt, nothing was sent, trying again in 1 s: {}", t.id,
             recorded.error().log.text);
  steady_timer pause(loop_.get_executor());
  pause.expires_after(std::chrono::seconds(1));
  co_await pause.async_wait(as_result);
  co_return nullptr;
}

awaitable<> dispatcher::submit_pending(task_ptr t, submit_slots::lease slot) {
  // Whatever is thrown before the attempt is on disk, nothing was sent.
  task_ptr recorded;
  try {
    recorded = co_await record_start(*t, slot);
  } catch (const std::exception& e) {
    log_.error("task {}: nothing was sent: {}", t->id, e.what());
  }
  if (recorded) {
    co_await send(std::move(recorded), std::move(slot));
    co_return;
  }
  // The slot goes back before the next turn looks for a free one.
  sending_.erase(t->id);
  {
    const submit_slots::lease given_back = std::move(slot);
  }
  wait_again(*t);
  wake_.notify();
}

// ---- those that waited too long

awaitable<> dispatcher::expire() {
  while (!stopped_) {
    const timestamp at = co_await expire_due(now());
    co_await expiry_.wait(now(), at);
  }
}

// However many they are, and whatever the upstreams do. When to come back.
awaitable<timestamp> dispatcher::expire_due(timestamp time) {
  constexpr std::chrono::seconds again{1};
  wait_group at_once(loop_);
  schedule_cursor after;
  for (;;) {
    const auto due = co_await from_store(store_, &store::due, schedule::expire, time, after, page);
    if (!due) {
      log_.error("cannot read the deadlines of pending tasks, will try again: {}", due.error().log.text);
      co_return time + again;
    }
    for (const task_ptr& t : due->tasks) {
      if (stopped_ || t->state != task_state::pending || sending_.contains(t->id)) continue;
      auto work = expire_one(t);
      at_once.add(std::move(work));
    }
    co_await at_once.wait();
    if (stopped_ || due->rows < page) break;
    after = due->last;
  }
  const auto next = co_await from_store(store_, &store::next_due, schedule::expire);
  if (!next) co_return time + again;
  co_return is_set(*next) ? std::max(*next, time + again) : never;
}

awaitable<> dispatcher::expire_one(task_ptr t) {
  task_event e = event::submit_expired{slots_->accounts_refused(*t)};
  const auto ended = co_await changes_.apply(t->id, std::move(e));
  if (!ended) {
    log_.error("task {}: it waited too long, and this cannot be recorded, trying again: {}", t->id,
               ended.error().log.text);
  } else if (ended->changed()) {
    log_.warn("task {}: no upstream could take it in time; it failed", t->id);
  }
}

// ---- one submission

awaitable<> dispatcher::send(task_ptr t, submit_slots::lease slot) {
  slot.sent();
  std::string thrown;
  try {
    co_await exchange_and_save(*t, slot);
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  // Whether the request went out is not known: that is an outcome too.
  if (!thrown.empty()) {
    log_.error("task {}: the submission to {} ended by an exception, and may have arrived{}: {}", t->id,
               t->upstream, lookup_of(*upstreams_.all()[slot.lane()], *t), thrown);
    task_event e = event::outcome_unknown{t->attempt_id};
    co_await save_outcome(*t, std::move(e), "unknown");
  }
  sending_.erase(t->id);
  // One that waits again was put into its queue by the save; a turn that met it there before now left it out.
  if (const task_ptr newest = store_.in_memory(t->id); newest && newest->state == task_state::pending)
    wait_again(*newest);
}

awaitable<> dispatcher::exchange_and_save(const task& t, const submit_slots::lease& slot) {
  upstream& to = *upstreams_.all()[slot.lane()];
  // What the client asked for, in the words of this upstream.
  const auto with = to.sends_with();
  auto what = co_await outgoing_request(store_, t, to.speaks(), *with);
  if (!what) {
    log_.warn("task {}: not sent: {}", t.id, what.error().log.text);
    task_event e =
        event::rejected{what.error().http_status(), what.error().message.text, t.attempt_id, false};
    if (what.error().http_status() >= 500)
      e = event::unavailable{{}, false, t.attempt_id, false, what.error().log.text};  // nothing was sent
    co_await save_outcome(t, std::move(e), "nothing was sent");
    co_return;
  }

  what->traceparent = t.traceparent;

  // One exchange, at most once.
  const auto started = steady_clock::now();
  const exchange x = co_await to.create(*what);
  fault_point("response to a create read, not saved");
  submit_outcome outcome = classify_submit(x, to.speaks());
  metrics_.upstream_call(to.name(), "create", name_of(outcome.what), seconds_since(started));

  // What it says of the upstream, then what it says of the task.
  const submit_slots::verdict v = slots_->finish(slot, t, outcome, now(), changes_.limits());
  if (auto* e = std::get_if<event::unavailable>(&outcome.event)) {
    e->keeps_place = v.keeps_place;
    e->accounts_refused = slots_->accounts_refused(t);
    e->note = outcome.note;
  }
  if (auto* lost = std::get_if<event::outcome_unknown>(&outcome.event)) lost->note = outcome.note;
  log_outcome(t, outcome, to, v.pause);
  log_lane(slot.lane(), v);
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

void dispatcher::log_outcome(const task& t, const submit_outcome& o, const upstream& to, milliseconds pause) {
  using kind = submit_outcome::kind;
  const std::string& upstream_name = to.name();
  std::string rest;  // what this means for other jobs
  if (pause.count() > 0)
    rest = fmt::format("; no more jobs go there for {} s", static_cast<double>(pause.count()) / 1000);
  switch (o.what) {
    case kind::accepted:
      log_.info("task {}: {} accepted it {}", t.id, upstream_name, o.note);
      break;
    case kind::rejected:
      log_.info("task {}: {} refused it: {}", t.id, upstream_name, o.note);
      break;
    case kind::unavailable: {
      const task_ptr newest = store_.in_memory(t.id);  // it may have been cancelled while it was submitted
      const bool cancelled = newest && is_set(newest->cancelled_at);
      log_.warn("task {}: {} could not take it ({}); {}{}", t.id, upstream_name, o.note,
                cancelled ? "it was cancelled, and ends" : "it is tried again", rest);
      break;
    }
    case kind::unknown: {
      const std::string_view then = lookup_of(to, t);
      log_.error("task {}: {} may or may not have created it ({}); it is not submitted again{}{}", t.id,
                 upstream_name, o.note, then, rest);
      break;
    }
  }
}

// What changed about the upstream itself: loud, and once.
void dispatcher::log_lane(std::size_t lane, const submit_slots::verdict& v) {
  const submit_lane& l = slots_->lanes()[lane];
  if (v.opened) {
    metrics_.circuit_opened(l.name, name_of(l.why));
    log_.error(
        "{} {}: {}. It gets no job until it takes one again; one is tried every {} to {} s. Its open jobs "
        "are polled "
        "all the same, other keys and upstreams go on. Mend the account, or give the relay another key and "
        "send it "
        "SIGHUP",
        l.name, l.why == cause::key_refused ? "REFUSES ITS KEY" : "IS OUT OF CREDITS", l.problem,
        submit_lane::account_first.count() / 1'000, submit_lane::account_longest.count() / 1'000);
  }
  if (v.closed) log_.warn("{} takes jobs again", l.name);
  if (v.learned && l.at_once.value() > 0)
    log_.info("{} takes {} jobs at once, as it has shown", l.name, l.at_once.value());
  if (v.learned && l.in_minute.value() > 0)
    log_.info("{} takes {} jobs a minute, as it has shown", l.name, l.in_minute.value());
}

void dispatcher::stop() {
  stopped_ = true;
  remember_.cancel();
  wake_.notify();
  expiry_.notify();
}

}  // namespace relay
