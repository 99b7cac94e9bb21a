#include "server/background/deliverer.hpp"

#include <spdlog/logger.h>

#include <algorithm>

#include "common/base/backoff.hpp"
#include "common/luma/dialect.hpp"
#include "common/base/fault_point.hpp"
#include "common/engine/webhook.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "common/base/text.hpp"
#include "server/log.hpp"

namespace relay {
namespace {

constexpr std::int64_t batch = 256;
constexpr std::int64_t most_looked_at = 1'024;  // in one turn; the next goes on from there
constexpr milliseconds breath{10};              // between such turns
constexpr std::size_t most_hosts = 10'000;
constexpr std::size_t addresses_tried = 4;
// A host that failed this often in a row is left alone for a while, so that its callbacks take no slots.
constexpr int patience = 3;
constexpr milliseconds first_rest{1'000};
constexpr milliseconds longest_rest{60'000};
constexpr int max_retry_after = 3'600;

// How a host fares is one client's own affair: another's trouble with it is not his.
std::string host_key(std::int64_t owner, const std::string& url) {
  const auto to = parse_web_address(url);
  return std::to_string(owner) + (!to          ? ""
                                  : to->at.tls ? " https://" + to->at.authority()
                                               : " http://" + to->at.authority());
}

std::string host_of(const std::string& url) {
  const auto to = parse_web_address(url);
  return to ? for_log(to->at.authority()) : std::string{};
}

}  // namespace

deliverer::deliverer(asio::io_context& loop, deadlines& d, store& s, const policy& p,
                     const callbacks_config& c, metrics& m, spdlog::logger& log)
    : loop_(loop),
      deadlines_(d),
      store_(s),
      policy_(p),
      config_(c),
      metrics_(m),
      log_(log),
      guard_(loop, c.allow_private_addresses),
      tls_("", false),
      alarm_(loop) {}

void deliverer::saved(const task& t) {
  if (is_set(t.next_callback_at)) alarm_.consider(t.next_callback_at);
}

awaitable<> deliverer::run() {
  while (!stopped_) {
    const timestamp time = now();
    const bool more = hand_out(time);
    timestamp at = now() + breath;
    if (!more) {
      auto next = store_.next_callback(time);
      at = next ? *next : never;
    }
    co_await alarm_.wait(now(), at);
  }
}

// Walks over what is due, past hosts that are busy, until a whole round has started nothing. True: the round
// is not over, and goes on from cursor_.
bool deliverer::hand_out(timestamp time) {
  for (std::int64_t looked_at = 0; looked_at < most_looked_at;) {
    auto due = store_.due_callbacks(time, cursor_, batch);
    if (!due) {
      log_.error("cannot read the callbacks that are due, will try again: {}", due.error().log.text);
      return false;
    }
    for (owed_callback& c : *due) {
      if (telling_.size() >= static_cast<std::size_t>(config_.concurrency)) return false;
      cursor_ = c.place;
      ++looked_at;
      if (telling_.contains(c.task_id)) continue;
      std::string host = host_key(c.owner, c.url);
      host_state& state = hosts_[host];
      // Nobody takes more than half of the slots; of a host that failed, one delivery tries.
      if (state.in_flight >= static_cast<std::size_t>(config_.per_host) ||
          by_owner_[c.owner] >= static_cast<std::size_t>(config_.concurrency + 1) / 2 ||
          (state.failures > 0 && state.in_flight > 0)) {
        continue;
      }
      const bool resting = state.not_before > time;
      ++state.in_flight;
      ++by_owner_[c.owner];
      telling_.insert(c.task_id);
      started_in_round_ = true;
      auto work = tell(std::move(c), std::move(host), resting);
      asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
    }
    if (std::ssize(*due) < batch) {
      cursor_ = {};
      if (!std::exchange(started_in_round_, false)) return false;
    }
  }
  return true;
}

awaitable<> deliverer::tell(owed_callback c, std::string host, bool resting) {
  std::string thrown;
  try {
    co_await tell_and_save(c.task_id, host, resting);
  } catch (const std::exception& e) {
    thrown = e.what();
  }
  if (!thrown.empty()) {
    log_.error("task {}: its callback ended by an exception, it is tried again: {}", c.task_id, thrown);
    steady_timer pause(loop_.get_executor());
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
  }
  telling_.erase(c.task_id);
  if (--by_owner_[c.owner] == 0) by_owner_.erase(c.owner);
  const auto state = hosts_.find(host);
  if (state != hosts_.end() && --state->second.in_flight == 0 && state->second.failures == 0)
    hosts_.erase(state);
  if (hosts_.size() > most_hosts) {
    std::erase_if(hosts_, [](const auto& h) { return h.second.in_flight == 0; });
  }
  alarm_.nudge();
}

awaitable<> deliverer::tell_and_save(const std::string& task_id, const std::string& host, bool resting) {
  auto loaded = store_.load(task_id);
  if (!loaded) throw std::runtime_error(loaded.error().log.text);
  const task_ptr& t = *loaded;
  if (t == nullptr || t->owed.empty()) co_return;
  // While a host rests, its callbacks move on along their schedule all the same: a dead one piles nothing up.
  std::optional<task_event> outcome =
      event::delivery_failed{"the host did not answer others either; not tried", false, {}};
  // The last attempt is always a real one.
  const bool last = static_cast<std::size_t>(t->callback_attempts) >= policy_.callback_retries.size();
  if (!resting || last) {
    std::string thrown;
    try {
      outcome = co_await deliver(*t, host);
    } catch (const std::exception& e) {
      thrown = e.what();
    }
    if (!thrown.empty()) outcome = event::delivery_failed{"the relay failed: " + thrown, false, {}};
  }
  if (!outcome) co_return;  // we are stopping, or too busy: it stays due
  if (const auto* failed = std::get_if<event::delivery_failed>(&*outcome)) {
    log_.warn("task {}: callback {} (attempt {}) was not taken by {}: {}{}", t->id, message_id(*t),
              t->callback_attempts + 1, host_of(t->callback_url), failed->problem,
              failed->gone ? "; no more callbacks for this task" : "");
  } else {
    log_.info("task {}: callback {} was taken by {}", t->id, message_id(*t), host_of(t->callback_url));
  }
  metrics_.callback_done(std::holds_alternative<event::delivered>(*outcome) ? "delivered" : "failed");
  fault_point("callback taken, not recorded");
  co_await save_outcome(task_id, t->callbacks_done, std::move(*outcome));
}

// What a poll or another save has changed meanwhile stays: the outcome is put on top of the newest revision.
// It is held until the disk takes it, or we stop: a client is not told again because our disk is full.
awaitable<> deliverer::save_outcome(const std::string& task_id, int message, task_event e) {
  steady_timer pause(loop_.get_executor());
  for (;;) {
    std::string problem;
    auto t = store_.load(task_id);
    if (t) {
      if (*t == nullptr || (*t)->callbacks_done != message) co_return;
      task next = advance(**t, e, now(), policy_, random_share());
      const auto* refused = std::get_if<event::delivery_failed>(&e);
      const bool given_up = next.owed.empty() && refused != nullptr && !refused->gone;
      auto written = co_await save(store_, std::move(next));
      if (written && given_up) {
        metrics_.callback_done("given_up");
        log_.error(
            "task {}: its callbacks are given up; `luma-relay task retry-callback {}` sends the last one "
            "again",
            task_id, task_id);
      }
      if (written) co_return;
      if (written.error().code == errc::conflict) continue;
      problem = written.error().log.text;
    } else {
      problem = t.error().log.text;
    }
    if (stopped_) co_return;
    log_.error("task {}: cannot record what became of its callback, trying again in 1 s: {}", task_id,
               problem);
    pause.expires_after(std::chrono::seconds(1));
    co_await pause.async_wait(as_result);
  }
}

awaitable<std::optional<task_event>> deliverer::deliver(const task& t, const std::string& host_name) {
  const auto to = parse_web_address(t.callback_url);
  if (!to) co_return event::delivery_failed{"not an address that can be called", true, {}};
  auto owner = store_.token_by_id(t.owner);
  if (!owner) throw std::runtime_error(owner.error().log.text);

  const timestamp time = wall_clock();  // the receiver compares it with its own
  const task told = as_told(t);
  const std::string body = json::serialize(dialect_of(t.dialect).render(told, time));
  const std::string id = message_id(t);
  std::string request;
  request.reserve(body.size() + 640);
  request.append("POST ").append(to->target).append(" HTTP/1.1\r\nHost: ").append(to->at.authority());
  request.append("\r\nContent-Type: application/json\r\nContent-Length: ")
      .append(std::to_string(body.size()));
  request.append("\r\nUser-Agent: luma-relay\r\nAccept: */*\r\nConnection: close\r\nwebhook-id: ").append(id);
  request.append("\r\nwebhook-timestamp: ").append(std::to_string(to_unix(time)));
  if (*owner && !(*owner)->webhook.empty()) {
    request.append("\r\nwebhook-signature: ").append(sign((*owner)->webhook, id, to_unix(time), body));
  }
  request.append("\r\n\r\n").append(body);

  fault_point("callback owed, not sent");
  bool forbidden = false;
  const exchange x = co_await post(*to, request, t.owner, forbidden);
  if (forbidden) co_return event::delivery_failed{x.problem, true, {}};
  if (!x.answered && (deadlines_.expiring() || x.problem.empty())) {
    steady_timer pause(loop_.get_executor());
    pause.expires_after(breath * 10);
    co_await pause.async_wait(as_result);
    co_return std::nullopt;
  }
  host_state& host = hosts_[host_name];
  // A host that answers is well, whatever it says; one that does not is left alone for a while.
  host.failures = x.answered ? 0 : host.failures + 1;
  host.not_before = never;
  if (host.failures >= patience)
    host.not_before = now() + backoff(host.failures - patience, first_rest, longest_rest, random_share());
  if (!x.answered) co_return event::delivery_failed{x.problem, false, {}};
  if (x.status >= 200 && x.status < 300) co_return event::delivered{};
  const milliseconds later(1000 * std::min(x.retry_after_seconds, max_retry_after));
  co_return event::delivery_failed{"status " + std::to_string(x.status), x.status == 410, later};
}

// On a connection of its own, to an address that the guard has seen. Without an answer and without a problem:
// it was not tried.
awaitable<exchange> deliverer::post(const web_address& to, const std::string& request, std::int64_t owner,
                                    bool& forbidden) {
  exchange out;
  const auto until = steady_clock::now() + config_.timeout;
  std::string host = to.at.host;
  const auto where = co_await guard_.resolve(std::move(host), to.at.port, owner, config_.timeout / 3);
  if (where.endpoints.empty()) {
    forbidden = where.forbidden;
    if (!where.too_busy) out.problem = where.problem;
    co_return out;
  }
  const std::size_t tries = std::min(where.endpoints.size(), addresses_tried);
  std::unique_ptr<connection> c;
  boost::system::error_code ec;
  for (std::size_t i = 0; i < tries; ++i) {
    c = std::make_unique<connection>(loop_, deadlines_, to.at.tls ? &tls_ : nullptr);
    c->arm(config_.timeout / (2 * static_cast<int>(tries)));
    ec = co_await c->connect(where.endpoints[i]);
    if (!ec) break;
  }
  if (ec) {
    out.problem = "cannot connect: " + words(ec, c->timed_out());
    co_return out;
  }
  c->arm(std::max<steady_clock::duration>(until - steady_clock::now(), std::chrono::milliseconds(1)));
  try {
    ec = co_await c->handshake(to.at.host);
  } catch (const std::exception& e) {
    out.problem = std::string("cannot begin TLS: ") + e.what();
    co_return out;
  }
  if (ec) {
    out.problem = "no TLS: " + words(ec, c->timed_out());
    co_return out;
  }
  exchange_limits limits;
  limits.total = std::max<steady_clock::duration>(until - steady_clock::now(), std::chrono::milliseconds(1));
  limits.first_byte = limits.total;
  limits.status_is_enough = true;
  bool reusable = false;
  co_return co_await run_exchange(*c, request, limits, reusable);
}

void deliverer::stop() {
  stopped_ = true;
  guard_.abandon();
  alarm_.nudge();
}

}  // namespace relay
