// The operations about upstreams.

#include <algorithm>

#include "server/admin/customers.hpp"
#include "server/admin/handlers.hpp"
#include "server/await_store.hpp"
#include "server/background/dispatcher.hpp"
#include "server/clock.hpp"
#include "server/upstream/upstreams.hpp"

namespace relay::admin {
namespace {

constexpr std::string_view none_runs =
    "no relay runs with this database; its upstreams are known to one that runs";

// "luma" is each of luma's keys.
bool is_meant(std::string_view lane, std::string_view name) {
  if (name.ends_with('/')) return lane == name.substr(0, name.size() - 1);
  return lane == name || (lane.starts_with(name) && lane.substr(name.size()).starts_with('/'));
}

std::string_view state_of(const submit_lane& l, bool configured, timestamp time) {
  if (!configured) return "not configured";
  if (l.poll_only) return "poll_only";
  if (l.mode != lane_mode::open) return name_of(l.mode);
  switch (l.state(time)) {
    case submit_lane::circuit::open:
      return "open circuit";
    case submit_lane::circuit::half_open:
      return "half open";
    case submit_lane::circuit::closed:
      break;
  }
  return time < l.cool_down_until ? "cool-down" : "ok";
}

json::object show(const submit_lane& l, const upstream& u, timestamp time) {
  const connection_pool& pool = *u.connections();
  return {{"name", json::string(l.name)},
          {"protocol", json::string(u.speaks().name)},
          {"url", json::string(u.settings().url)},
          {"state", json::string(state_of(l, u.configured(), time))},
          {"until", time < l.cool_down_until ? time_or_null(l.cool_down_until) : json::value(nullptr)},
          {"rank", l.rank},
          {"weight", l.weight},
          {"open_jobs", l.open},
          {"submitting", l.in_flight},
          {"waiting", l.has_waiters},
          {"max_concurrent", l.max_open},
          {"learned_concurrent", l.at_once.value()},
          {"creates_per_minute", l.per_minute},
          {"learned_per_minute", l.in_minute.value()},
          {"problem", json::string(l.problem)},
          {"problem_at", time_or_null(l.problem_at)},
          {"connections", pool.open()},
          {"connections_made", pool.made_so_far()},
          {"connections_resumed", pool.resumed()}};
}

// Of a relay that runs. The places of the lanes that are meant.
std::vector<std::size_t> places_of(const admin_context& in, const std::string& name) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < in.submit->lanes().size(); ++i) {
    const submit_lane& l = in.submit->lanes()[i];
    if (is_meant(l.name, name) && in.all_upstreams->all()[i]->configured() && !l.poll_only) out.push_back(i);
  }
  return out;
}

std::unexpected<error> none_so(const std::string& name) {
  return fail(errc::not_found,
              "there is no upstream \"" + name + "\" that may get jobs; luma-relay upstream list shows them");
}

// Each lane is a row of its own: that it was asked for is written down first.
// `before`: the mode of each key.
awaitable<result<void>> note(admin_call& c, const std::string& name, const json::object& before,
                             lane_mode m) {
  json::object after;
  for (const auto& [key, mode] : before) after[key] = json::string(relay::name_of(m));
  const auto why = c.audit("upstream/" + name, before, after);
  const auto noted = co_await from_store(c.in.tasks, &store::note_change, why);
  if (!noted) co_return std::unexpected(noted.error());
  co_return result<void>{};
}

// Without a relay that runs it is written down for the next one.
awaitable<admin_result> keep_mode(admin_call& c, std::string name, lane_mode m) {
  auto known = co_await from_store(c.in.tasks, &store::lane_memories);
  if (!known) co_return std::unexpected(known.error());
  std::erase_if(*known, [&name](const lane_memory& one) { return !is_meant(one.name, name); });
  if (known->empty()) co_return none_so(name);
  json::object before;
  for (const lane_memory& one : *known) before[one.name] = json::string(relay::name_of(one.mode));
  if (auto noted = co_await note(c, name, before, m); !noted)
    co_return std::unexpected(std::move(noted.error()));
  json::array changed;
  for (lane_memory& one : *known) {
    one.mode = m;
    changed.push_back(json::string(one.name));
    const auto kept = co_await from_store(c.in.tasks, &store::keep_lane, std::move(one));
    if (!kept) co_return std::unexpected(kept.error());
  }
  co_return admin_response{
      {{"changed", std::move(changed)}, {"open_jobs", 0}, {"mode", json::string(relay::name_of(m))}}};
}

awaitable<admin_result> set_mode(admin_call& c, lane_mode m) {
  std::string name = c.first;
  if (c.body.contains("key")) name += "/" + c.text("key");
  if (c.in.submit == nullptr) co_return co_await keep_mode(c, std::move(name), m);
  const std::vector<std::size_t> places = places_of(c.in, name);
  if (places.empty()) co_return none_so(name);
  json::object before;
  for (const std::size_t i : places) {
    const submit_lane& l = c.in.submit->lanes()[i];
    before[l.name] = json::string(relay::name_of(l.mode));
  }
  if (auto noted = co_await note(c, name, before, m); !noted)
    co_return std::unexpected(std::move(noted.error()));
  json::array changed;
  std::int64_t open_jobs = 0;
  for (const std::size_t i : places) {
    const auto kept = co_await c.in.submit->set_mode(i, m);
    if (!kept) co_return std::unexpected(kept.error());
    changed.push_back(json::string(c.in.submit->lanes()[i].name));
    open_jobs += c.in.submit->lanes()[i].open;
  }
  co_return admin_response{
      {{"changed", std::move(changed)}, {"open_jobs", open_jobs}, {"mode", json::string(relay::name_of(m))}}};
}

}  // namespace

awaitable<admin_result> list_upstreams(admin_call& c) {
  if (c.in.submit == nullptr || c.in.all_upstreams == nullptr)
    co_return fail(errc::upstream_unavailable, std::string(none_runs));
  json::array items;
  const auto& lanes = c.in.submit->lanes();
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const upstream& u = *c.in.all_upstreams->all()[i];
    if (u.configured() || lanes[i].open > 0) items.push_back(show(lanes[i], u, now()));
  }
  co_return admin_response{{{"items", std::move(items)}}};
}

awaitable<admin_result> pause_upstream(admin_call& c) {
  co_return co_await set_mode(c, lane_mode::paused);
}

awaitable<admin_result> resume_upstream(admin_call& c) {
  co_return co_await set_mode(c, lane_mode::open);
}

awaitable<admin_result> drain_upstream(admin_call& c) {
  co_return co_await set_mode(c, lane_mode::draining);
}

}  // namespace relay::admin
