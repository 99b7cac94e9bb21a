// GET …/generations/{id}/events and /luma/tasks/events?ids=…: tasks as they change, as Server-Sent Events
// (WHATWG HTML §9.2). Each event is a whole task; its id tells what the client has seen, so that a
// client that comes back with Last-Event-ID is sent what has changed since, and nothing twice.

#include <algorithm>
#include <charconv>

#include "common/base/id.hpp"
#include "server/clock.hpp"
#include "server/handlers/handlers.hpp"

namespace relay::handlers {
namespace {

constexpr std::size_t most_ids = 100;
constexpr std::chrono::seconds heartbeat{15};
// Then the client comes back, with its key: a revoked one ends there.
constexpr std::chrono::minutes longest_stream{10};
constexpr int most_streams = 200;  // of one token

// What the client sees of a task, as one number: a change that does not show is no event.
using look = std::int64_t;

look look_of(const task& t, rendering how) {
  const auto state = static_cast<look>(t.state);
  const auto told_as = how == rendering::item || t.state >= task_state::queued
                           ? state + 1
                           : static_cast<look>(task_state::queued) + 1;
  return told_as * 1'000 + (is_terminal(t.state) ? 0 : t.progress + 1);
}

struct stream_state {
  services& in;
  rendering how;
  std::vector<std::string> ids;
  std::vector<task_ptr> tasks;            // newest, same order
  std::vector<look> sent;                 // same order; 0: nothing
  std::vector<std::int64_t> seen_before;  // from Last-Event-ID; empty: nothing
  std::unique_ptr<watch::waiter> change;
  std::shared_ptr<int> place;  // counts the streams of the token
};

std::vector<std::int64_t> looks_in(std::string_view text, std::size_t expected) {
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
  out += "\ndata: " + s.in.rendered.get(s.how, *s.tasks[i], now()) + "\n\n";
  return out;
}

bool all_ended(const stream_state& s) {
  return std::ranges::all_of(s.tasks, [](const task_ptr& t) { return is_terminal(t->state); });
}

awaitable<> send_events(std::unique_ptr<stream_state> owned, http::body_stream& to) {
  stream_state& s = *owned;
  std::string first = "retry: 3000\n\n";
  for (std::size_t i = 0; i < s.seen_before.size(); ++i) s.sent[i] = s.seen_before[i];
  for (std::size_t i = 0; i < s.tasks.size(); ++i) {
    const look now_seen = look_of(*s.tasks[i], s.how);
    if (std::exchange(s.sent[i], now_seen) != now_seen) first += event_for(s, i);
  }
  bool alive = co_await to.send(first);
  const auto end = steady_clock::now() + longest_stream;
  auto quiet_since = steady_clock::now();
  while (alive && !all_ended(s) && !s.change->over() && steady_clock::now() < end) {
    const std::vector<task_ptr> news =
        co_await s.change->changes(quiet_since + heartbeat - steady_clock::now());
    std::string out;
    for (const task_ptr& t : news) {
      for (std::size_t i = 0; i < s.ids.size(); ++i) {
        if (s.ids[i] != t->id || s.tasks[i]->revision >= t->revision) continue;
        s.tasks[i] = t;
        const look now_seen = look_of(*t, s.how);
        if (std::exchange(s.sent[i], now_seen) == now_seen) continue;
        out += event_for(s, i);
      }
    }
    // Changes that do not show are silence to whoever stands between, and to us if the client is gone.
    if (out.empty() && steady_clock::now() - quiet_since >= heartbeat) out = ": still here\n\n";
    if (out.empty()) continue;
    quiet_since = steady_clock::now();
    alive = co_await to.send(out);
  }
}

// The stream of these tasks, all of them the caller's.
http::reply stream_of(call& c, std::vector<std::string> ids, rendering how) {
  auto s =
      std::make_unique<stream_state>(stream_state{c.in, how, std::move(ids), {}, {}, {}, nullptr, nullptr});
  s->place = c.in.streams.enter(c.who.id, most_streams);
  if (!s->place) {
    error many;
    many.code = errc::rate_limited;
    many.retry_after_seconds = 10;
    many.message.text =
        "This API key has " + std::to_string(most_streams) + " event streams open, the most it may have";
    return error_reply(many, c.on.errors);
  }
  s->change = std::make_unique<watch::waiter>(c.in.changes, s->ids);
  auto found = c.in.tasks.find_many(c.who.id, s->ids);
  if (!found) return error_reply(found.error(), c.on.errors);
  if (found->size() != s->ids.size()) {  // some are unknown: they are left out
    std::vector<std::string> known;
    for (const task_ptr& t : *found) known.push_back(t->id);
    if (known.empty()) {
      auto none = fail(errc::task_not_found, "Generation not found: no such id for this API key");
      return error_reply(none.error(), c.on.errors);
    }
    s.reset();  // and its place
    return stream_of(c, std::move(known), how);
  }
  s->tasks = std::move(*found);
  s->sent.resize(s->tasks.size());
  s->seen_before = looks_in(c.http.header("Last-Event-ID"), s->tasks.size());

  http::reply out;
  bool nothing_new = !s->seen_before.empty();
  for (std::size_t i = 0; i < s->seen_before.size(); ++i) {
    nothing_new = nothing_new && s->seen_before[i] == look_of(*s->tasks[i], how);
  }
  if (all_ended(*s) && nothing_new) {
    out.status = 204;  // an EventSource that comes back after the end stops coming
    return out;
  }
  out.content_type = "text/event-stream";
  out.add_header("X-Accel-Buffering", "no");
  auto send = [owned = std::move(s)](http::body_stream& to) mutable {
    return send_events(std::move(owned), to);
  };
  out.stream = std::move(send);
  return out;
}

}  // namespace

awaitable<http::reply> generation_events(call& c) {
  std::vector<std::string> ids{normalise_id(c.id)};
  co_return stream_of(c, std::move(ids),
                      c.on.speaks == dialect_id::luma ? rendering::web_app : rendering::official);
}

awaitable<http::reply> task_events(call& c) {
  const auto text = http::query_value(c.http.query, "ids");
  std::vector<std::string> ids;
  std::string_view rest = text ? std::string_view(*text) : std::string_view{};
  while (!rest.empty()) {
    const auto comma = std::min(rest.find(','), rest.size());
    if (comma > 0) {
      std::string id = normalise_id(rest.substr(0, comma));
      if (std::ranges::find(ids, id) == ids.end()) ids.push_back(std::move(id));
    }
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  if (ids.empty() || ids.size() > most_ids) {
    auto wrong =
        fail(errc::invalid_request, "ids: give 1 to " + std::to_string(most_ids) +
                                        " ids, separated by commas, not " + std::to_string(ids.size()));
    co_return error_reply(wrong.error(), c.on.errors);
  }
  co_return stream_of(c, std::move(ids), rendering::item);
}

}  // namespace relay::handlers
