// GET …/{id}/events and …/events?ids=…: tasks as they change, as Server-Sent Events
// (WHATWG HTML §9.2). Each event is a whole task; its id tells what the client has seen, so that a
// client that comes back with Last-Event-ID is sent what has changed since, and nothing twice.

#include <algorithm>
#include <charconv>
#include <ranges>

#include "common/base/id.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/handlers/handlers.hpp"

namespace relay::handlers {
namespace {

constexpr std::size_t max_ids = 100;
constexpr std::chrono::seconds heartbeat{15};
constexpr std::chrono::minutes max_duration{10};  // then the client comes back
constexpr int max_streams = 200;                  // of one token

// What the client sees of a task, as one number: a change that does not show is no event.
using seen_state = std::int64_t;

seen_state state_seen(const task& t, const task_form& how) {
  // States with one word are one: the last of them stands for all.
  const auto last = std::ranges::find_if(std::views::reverse(all_states),
                                         [&](task_state s) { return how.word(s) == how.word(t.state); });
  return (static_cast<seen_state>(*last) + 1) * 1'000 + (is_terminal(t.state) ? 0 : t.progress + 1);
}

struct stream_state {
  handler_context& in;
  const caller_ptr by;
  const task_form& how;
  std::vector<std::string> ids;
  std::vector<task_ptr> tasks;            // newest, same order
  std::vector<seen_state> sent;           // same order; 0: nothing
  std::vector<std::int64_t> seen_before;  // from Last-Event-ID; empty: nothing
  std::unique_ptr<watch::waiter> change;
  std::shared_ptr<int> place;  // counts the streams of the token
};

// The numbers of a Last-Event-ID, one a task; empty when it is not one of ours.
std::vector<std::int64_t> states_in(std::string_view text, std::size_t expected) {
  std::vector<std::int64_t> out;
  while (!text.empty() && out.size() < expected) {
    std::int64_t v = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (ec != std::errc{} || v < 0) return {};
    out.push_back(v);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.empty()) break;
    if (text.front() != '.') return {};
    text.remove_prefix(1);
  }
  if (out.size() != expected || !text.empty()) return {};
  return out;
}

std::string event_for(const stream_state& s, std::size_t i) {
  std::string out = "id: ";
  for (std::size_t k = 0; k < s.sent.size(); ++k) {
    if (k > 0) out += '.';
    out += std::to_string(s.sent[k]);
  }
  const auto shown = s.in.rendered.get(s.how, *s.tasks[i], {now(), s.in.settings.server.tasks_platform});
  return shown ? out + "\ndata: " + *shown + "\n\n" : std::string{};
}

bool all_ended(const stream_state& s) {
  return std::ranges::all_of(
      s.tasks, [](const task_ptr& t) { return is_terminal(t->state) || is_set(t->deleted_at); });
}

awaitable<> send_events(std::unique_ptr<stream_state> owned, http::body_stream& to) {
  stream_state& s = *owned;
  // 1. What the client has not seen yet.
  std::string first = "retry: 3000\n\n";
  for (std::size_t i = 0; i < s.seen_before.size(); ++i) s.sent[i] = s.seen_before[i];
  for (std::size_t i = 0; i < s.tasks.size(); ++i) {
    const seen_state now_seen = state_seen(*s.tasks[i], s.how);
    if (std::exchange(s.sent[i], now_seen) != now_seen) first += event_for(s, i);
  }
  bool alive = co_await to.send(first);

  // 2. Changes as they come, until all have ended, the client is gone, its token is revoked, or the relay
  // stops.
  const auto end = steady_clock::now() + max_duration;
  auto quiet_since = steady_clock::now();
  while (alive && !all_ended(s) && !s.change->over() && steady_clock::now() < end) {
    const std::vector<task_ptr> changed =
        co_await s.change->changes(quiet_since + heartbeat - steady_clock::now());
    if (!s.in.accounts.in_force(*s.by, now())) break;
    std::string out;
    for (const task_ptr& t : changed) {
      for (std::size_t i = 0; i < s.ids.size(); ++i) {
        if (s.ids[i] != t->id || s.tasks[i]->revision >= t->revision) continue;
        // Newer than what was sent; an event only if it shows.
        s.tasks[i] = t;
        const seen_state now_seen = state_seen(*t, s.how);
        if (std::exchange(s.sent[i], now_seen) == now_seen || is_set(t->deleted_at)) continue;
        out += event_for(s, i);
      }
    }
    // Changes that do not show are silence to the proxies between, and to us if the client is gone.
    if (out.empty() && steady_clock::now() - quiet_since >= heartbeat) out = ": still here\n\n";
    if (out.empty()) continue;
    quiet_since = steady_clock::now();
    alive = co_await to.send(out);
  }
}

error too_many_streams() {
  error e;
  e.code = errc::rate_limited;
  e.retry_after_seconds = 10;
  e.message.text =
      "This account has " + std::to_string(max_streams) + " event streams open, the most it may have";
  return e;
}

// The client has seen the end already: an EventSource that comes back after it stops coming.
bool nothing_to_send(const stream_state& s) {
  if (!all_ended(s) || s.seen_before.empty()) return false;
  for (std::size_t i = 0; i < s.seen_before.size(); ++i) {
    if (s.seen_before[i] != state_seen(*s.tasks[i], s.how)) return false;
  }
  return true;
}

// The stream of these tasks; ids that are not the caller's are left out.
awaitable<handled> stream_of(call& c, std::vector<std::string> ids) {
  const task_form& how = c.on.form();
  auto s = std::make_unique<stream_state>(stream_state{c.in, c.by, how, {}, {}, {}, {}, nullptr, nullptr});
  s->place = c.in.streams.enter(c.who.id, max_streams);
  if (!s->place) co_return std::unexpected(too_many_streams());
  // Waits before it reads, so that nothing is missed; ids that turn out to be unknown are never notified.
  s->change = std::make_unique<watch::waiter>(c.in.changes, ids);
  auto found = co_await find_tasks(c.in.tasks, c.who.id, std::move(ids));
  if (!found) co_return std::unexpected(std::move(found.error()));
  if (found->empty()) co_return not_found();
  for (const task_ptr& t : *found) s->ids.push_back(t->id);
  s->tasks = std::move(*found);
  s->sent.resize(s->tasks.size());
  s->seen_before = states_in(c.http.header("Last-Event-ID"), s->tasks.size());

  http::reply out;
  if (nothing_to_send(*s)) {
    out.status = 204;
    co_return out;
  }
  out.content_type = "text/event-stream";
  out.close = true;
  out.add_header("X-Accel-Buffering", "no");
  auto send = [owned = std::move(s)](http::body_stream& to) mutable {
    return send_events(std::move(owned), to);
  };
  out.stream = std::move(send);
  co_return out;
}

// `ids=A,B,…`, duplicates once.
std::vector<std::string> ids_in(std::string_view list) {
  std::vector<std::string> ids;
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    if (comma > 0) {
      std::string id = normalise_id(list.substr(0, comma));
      if (std::ranges::find(ids, id) == ids.end()) ids.push_back(std::move(id));
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return ids;
}

}  // namespace

awaitable<handled> generation_events(call& c) {
  std::vector<std::string> ids{normalise_id(c.id)};
  co_return co_await stream_of(c, std::move(ids));
}

awaitable<handled> task_events(call& c) {
  const auto text = http::query_value(c.http.query, "ids");
  std::vector<std::string> ids = ids_in(text ? std::string_view(*text) : std::string_view{});
  if (ids.empty() || ids.size() > max_ids) {
    co_return fail(errc::invalid_request, "ids: give 1 to " + std::to_string(max_ids) +
                                              " ids, separated by commas, not " + std::to_string(ids.size()));
  }
  co_return co_await stream_of(c, std::move(ids));
}

}  // namespace relay::handlers
