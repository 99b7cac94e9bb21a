#include "server/background/poller.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/text.hpp"
#include "common/engine/list_walk.hpp"
#include "common/engine/matching.hpp"
#include "common/engine/outcome.hpp"
#include "server/await_store.hpp"
#include "server/background/list_reader.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"

namespace relay {
namespace {

constexpr std::string_view not_configured = "no upstream of this name is configured";

// Turns are taken together when jobs fall due one after the other.
constexpr milliseconds shortest_sleep{5};
constexpr std::chrono::seconds again{1};
constexpr std::chrono::minutes recent{1};  // what an upstream said so long ago still counts

timestamp earlier(timestamp a, timestamp b) {
  if (!is_set(a) || !is_set(b)) return std::max(a, b);
  return std::min(a, b);
}

}  // namespace

poller::poller(asio::io_context& loop, store& s, task_changes& changes, upstreams& all,
               std::int64_t concurrency, metrics& m, spdlog::logger& log)
    : loop_(loop),
      store_(s),
      changes_(changes),
      upstreams_(all),
      concurrency_(static_cast<std::size_t>(concurrency)),
      metrics_(m),
      log_(log),
      wake_(loop) {
  use_upstreams();
}

void poller::use_upstreams() {
  for (const auto& u : upstreams_.all()) {
    poll_lane* l = find_lane(u->name());
    if (l == nullptr) l = lanes_.emplace_back(std::make_unique<poll_lane>()).get();
    l->name = u->name();
    l->from = u->configured() ? u.get() : nullptr;
  }
  wake_.notify();
}

poller::poll_lane* poller::find_lane(const std::string& name) {
  const auto found = std::ranges::find(lanes_, name, [](const auto& l) { return l->name; });
  return found == lanes_.end() ? nullptr : found->get();
}

// Jobs of upstreams that are no longer configured still come to their deadline.
poller::poll_lane& poller::lane_of(const std::string& name) {
  if (poll_lane* known = find_lane(name)) return *known;
  log_.error(
      "there are open jobs of the upstream \"{}\", which is not configured; they fail at their deadline",
      name);
  auto l = std::make_unique<poll_lane>();
  l->name = name;
  lanes_.push_back(std::move(l));
  return *lanes_.back();
}

void poller::saved(const task& t) {
  timestamp at = t.next_poll_at;
  if (const auto later = put_off_.find(t.id); later != put_off_.end()) {
    if (later->second.on_disk == t.next_poll_at)
      at = later->second.until;
    else
      put_off_.erase(later);
  }
  if (is_set(at)) {
    lane_of(t.upstream).schedule.set(t.id, t.owner, at);
    wake_.notify_by(at);
  } else if (poll_lane* l = find_lane(t.upstream)) {
    l->schedule.erase(t.id);
  }
}

void poller::hint(const task_ptr& t) {
  poll_lane* l = find_lane(t->upstream);
  if (l == nullptr) return;
  if (polling_.contains(t->id))
    hinted_meanwhile_.insert(t->id);  // that poll may have been responded to before the call
  else
    poll_now(*l, t->id, t->owner);
}

void poller::poll_now(poll_lane& l, const std::string& id, std::int64_t owner) {
  if (!hinted_.insert(id).second) return;
  constexpr timestamp first{std::chrono::microseconds(1)};
  l.schedule.set(id, owner, first);
  wake_.notify();
}

std::int64_t poller::overdue(timestamp before) const {
  std::int64_t out = 0;
  for (const auto& l : lanes_) out += l->schedule.count_before(before);
  return out;
}

awaitable<> poller::run() {
  while (!stopped_) {
    const bool read = co_await read_schedule();
    if (read) break;
    co_await wake_.wait(now(), now() + again);
  }
  while (!stopped_) {
    const timestamp time = now();
    timestamp at = never;
    for (std::size_t i = 0; i < lanes_.size(); ++i) at = earlier(at, poll_due(*lanes_[i], time));
    if (is_set(at)) at = std::max(at, time + shortest_sleep);
    co_await wake_.wait(now(), at);
  }
}

// What earlier processes left. What was saved meanwhile is newer.
awaitable<bool> poller::read_schedule() {
  const auto all = co_await from_store(store_, &store::polled);
  if (!all) {
    log_.error("cannot read which tasks are to be polled, will try again: {}", all.error().log.text);
    co_return false;
  }
  for (const polled_task& t : *all) {
    poll_lane& l = lane_of(t.upstream);
    if (!l.schedule.contains(t.task_id) && !polling_.contains(t.task_id))
      l.schedule.set(t.task_id, t.owner, t.at);
  }
  co_return true;
}

// Polls as much as may be polled now. When to come back; `never`: when something changes.
timestamp poller::poll_due(poll_lane& l, timestamp time) {
  if (time < l.cool_down_until) return l.cool_down_until;
  while (!stopped_ && l.schedule.any_due(time)) {
    if (l.in_flight >= concurrency_) return never;  // the end of a poll comes back for it
    rate& limit = l.from != nullptr ? l.from->polls() : l.without_upstream;
    if (!limit.take(time)) return limit.next();
    auto next = l.schedule.pop(time);
    if (!polling_.insert(next->task_id).second) {  // the last one is about to end
      l.schedule.set(next->task_id, next->owner, time + shortest_sleep);
      continue;
    }
    ++l.in_flight;
    auto work = poll(l, std::move(*next));
    asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
  }
  return l.schedule.next();
}

awaitable<> poller::poll(poll_lane& l, turn_schedule::entry what) {
  std::optional<timestamp> next;
  try {
    next = co_await poll_and_save(l, what.task_id);
  } catch (const std::exception& e) {
    log_.error("task {}: a poll ended by an exception, it is polled again: {}", what.task_id, e.what());
    next = now() + again;
  }
  hinted_.erase(what.task_id);
  polling_.erase(what.task_id);
  if (next && !l.schedule.contains(what.task_id)) {
    l.schedule.set(what.task_id, what.owner, *next);
    wake_.notify_by(*next);
  }
  if (hinted_meanwhile_.erase(what.task_id) > 0) poll_now(l, what.task_id, what.owner);
  if (l.in_flight-- == concurrency_) wake_.notify();
}

// When it is to be polled again; nullopt: never, or as the save has said.
awaitable<std::optional<timestamp>> poller::poll_and_save(poll_lane& l, std::string id) {
  const auto newest = co_await load_task(store_, id);
  if (!newest) {
    log_.error("task {}: cannot be read, and is not polled: {}", id, newest.error().log.text);
    // One that this program cannot read stays so.
    if (newest.error().code == errc::internal) co_return std::nullopt;
    co_return now() + again;
  }
  task_ptr t = *newest;
  if (!t || !is_set(t->next_poll_at)) co_return std::nullopt;
  const bool hinted = hinted_.contains(id);
  if (t->next_poll_at > now() && !hinted) co_return t->next_poll_at;
  if (hinted) {
    task_event called = event::called{};
    const auto noted = co_await changes_.apply(id, std::move(called));
    if (noted) t = noted->after;  // else the poll is recorded without it, or fails in the same way
    l.schedule.erase(id);         // when the next poll is due, this one says
  }
  poll_outcome outcome = co_await ask(l, *t);
  if (outcome.name.empty()) co_return std::nullopt;  // cut off by ourselves: it says nothing of the job
  if (outcome.cool_down.count() > 0)
    l.cool_down_until = std::max(l.cool_down_until, now() + outcome.cool_down);
  const task next_one = advance(*t, outcome.event, now(), changes_.limits(), random_share());
  if (only_polled_later(*t, next_one)) {
    put_off_.insert_or_assign(std::move(id), put_off{t->next_poll_at, next_one.next_poll_at});
    co_return next_one.next_poll_at;
  }
  auto saved = co_await changes_.apply(id, std::move(outcome.event));
  if (!saved) {
    if (saved.error().code == errc::task_not_found) co_return std::nullopt;
    log_.error("task {}: cannot record what {} reported, it is polled again: {}", id, l.name,
               saved.error().log.text);
    co_return now() + again;
  }
  const task& next = *saved->after;
  if (!outcome.note.empty()) {
    log_.warn("task {}: {} did not report how it stands: {}; next poll at {}", id, l.name, outcome.note,
              is_set(next.next_poll_at) ? to_iso(next.next_poll_at, precision::milliseconds) : "-");
  }
  if (next.state != saved->before->state)
    log_.info("task {}: {} at {}{}{}", id, name_of(next.state), l.name, next.fail_reason.empty() ? "" : ": ",
              for_log(next.fail_reason));
  if (saved->changed() || !is_set(next.next_poll_at)) co_return std::nullopt;
  co_return std::max(next.next_poll_at, now() + again);
}

// One question. Without a name: it was cut off by the stop.
awaitable<poll_outcome> poller::ask(poll_lane& l, const task& t) {
  upstream* const at = l.from;  // a reload may change it meanwhile
  if (at == nullptr)
    co_return poll_outcome{
        event::poll_failed{.note = std::string(not_configured)}, "error", std::string(not_configured), {}};
  const auto started = steady_clock::now();
  const std::string path = at->speaks().build_fetch(t.upstream_id);
  const exchange x = co_await at->fetch(path);
  if (!x.responded && stopped_) co_return poll_outcome{};
  poll_outcome outcome = classify_poll(x, at->speaks());
  if (std::holds_alternative<event::polled>(outcome.event)) l.well_at = now();
  if (auto* failed = std::get_if<event::poll_failed>(&outcome.event);
      failed != nullptr && failed->not_found) {
    const not_found_check check = co_await check_not_found(l, *at, t);
    failed->not_found = check.why_not.empty();
    failed->confirmed = check.confirmed;
    if (!failed->not_found) outcome.note += "; " + check.why_not + ", so this does not count";
  }
  if (auto* failed = std::get_if<event::poll_failed>(&outcome.event)) failed->note = outcome.note;
  metrics_.upstream_call(l.name, "poll", outcome.name,
                         std::chrono::duration<double>(steady_clock::now() - started).count());
  co_return outcome;
}

// Rule M9: what a 404 says of the job.
awaitable<poller::not_found_check> poller::check_not_found(poll_lane& l, upstream& at, const task& t) {
  // 1. One that knows no job at all has lost its mind, not this job.
  const bool well = co_await is_well(l, at);
  if (!well) co_return not_found_check{"it shows no other job either", false};
  // 2. The last that counts would end the job: the list has the last word.
  const policy& p = changes_.limits();
  const bool last = t.not_found + 1 >= p.not_found_limit && now() >= t.not_found_at + p.not_found_for;
  if (!last) co_return not_found_check{"", false};
  if (at.speaks().build_list == nullptr) co_return not_found_check{"", true};
  const timestamp since = needed_since(t);
  // One that was read before the first of these 404s may be older than the job.
  if (!is_set(l.listed_at) || l.listed_at + recent < now() || l.listed_at < t.not_found_at ||
      l.listed_since > since) {
    if (l.listing) co_return not_found_check{"its list is being read", false};
    const bool read = co_await read_list(l, at, since);
    if (!read) co_return not_found_check{"its list cannot be read now", false};
  }
  if (l.listed.contains(t.upstream_id)) co_return not_found_check{"its list shows the job", false};
  co_return not_found_check{"", true};
}

// It answered for another job within the last minute, or its list can be read now.
awaitable<bool> poller::is_well(poll_lane& l, upstream& at) {
  const protocol& p = at.speaks();
  if (p.build_list != nullptr && (!is_set(l.well_at) || l.well_at + recent < now()) &&
      (!is_set(l.checked_at) || l.checked_at + recent < now())) {
    l.checked_at = now();
    page_reader page(p);
    const std::string path = p.build_list(1, 0);
    body_sink sink = [&page](std::string_view part) { page.feed(part); };
    const exchange x = co_await at.fetch_list(path, std::move(sink));
    const auto first = page.end();
    if (x.responded && x.status == 200 && first && !first->jobs.empty()) l.well_at = now();
  }
  co_return is_set(l.well_at) && l.well_at + recent >= now();
}

// The ids in its list back to `since`, for all that ask within a minute. False: not now.
awaitable<bool> poller::read_list(poll_lane& l, upstream& at, timestamp since) {
  if (std::exchange(l.listing, true)) co_return false;
  listing seen(now(), {}, at.speaks());
  std::unordered_set<std::string> ids;
  list_reader reader(loop_, at, metrics_, [this] { return stopped_; });
  struct page_taker {
    std::unordered_set<std::string>& ids;
    const listing& seen;
    timestamp since;
    awaitable<bool> operator()(const listed_page& page) const {
      for (const listed_job& j : page.jobs) ids.insert(j.reported.id);
      co_return !seen.covers(since);
    }
  };
  list_reader::on_page on_page = page_taker{ids, seen, since};
  const auto read = co_await reader.read(seen, std::move(on_page));
  l.listing = false;
  if (!read || !seen.covers(since)) co_return false;
  l.listed = std::move(ids);
  l.listed_at = seen.requested_at();
  l.listed_since = since;
  co_return true;
}

void poller::stop() {
  stopped_ = true;
  wake_.notify();
}

}  // namespace relay
