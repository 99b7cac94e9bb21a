#include "server/admin_upstreams.hpp"

#include <algorithm>

#include "server/admin_reply.hpp"
#include "server/await_store.hpp"
#include "server/background/dispatcher.hpp"
#include "server/clock.hpp"

namespace relay {
namespace {

constexpr std::string_view nobody_runs =
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

}  // namespace

json::object list_upstreams(const admin_context& in) {
  if (in.submit == nullptr || in.all_upstreams == nullptr) return failure(nobody_runs);
  json::array list;
  const auto& lanes = in.submit->lanes();
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const upstream& u = *in.all_upstreams->all()[i];
    if (u.configured() || lanes[i].open > 0) list.push_back(show(lanes[i], u, now()));
  }
  return {{"ok", true}, {"upstreams", std::move(list)}};
}

awaitable<json::object> set_upstream_mode(admin_context in, std::string name, lane_mode m) {
  json::array changed;
  std::int64_t open_jobs = 0;
  if (in.submit != nullptr) {
    for (std::size_t i = 0; i < in.submit->lanes().size(); ++i) {
      const std::string lane = in.submit->lanes()[i].name;
      if (!is_meant(lane, name) || !in.all_upstreams->all()[i]->configured() ||
          in.submit->lanes()[i].poll_only)
        continue;
      const auto kept = co_await in.submit->set_mode(i, m);
      if (!kept) co_return failure(kept.error().log.text);
      changed.push_back(json::string(lane));
      open_jobs += in.submit->lanes()[i].open;
    }
  } else {
    const auto known = co_await from_store(in.tasks, &store::lane_memories);
    if (!known) co_return failure(known.error().log.text);
    for (lane_memory one : *known) {
      if (!is_meant(one.name, name)) continue;
      changed.push_back(json::string(one.name));
      one.mode = m;
      const auto kept = co_await from_store(in.tasks, &store::keep_lane, one);
      if (!kept) co_return failure(kept.error().log.text);
    }
  }
  if (changed.empty())
    co_return failure("there is no upstream \"" + name +
                      "\" that may get jobs; luma-relay upstream list shows them");
  co_return json::object{{"ok", true},
                         {"changed", std::move(changed)},
                         {"open_jobs", open_jobs},
                         {"mode", json::string(name_of(m))}};
}

awaitable<json::object> reload(admin_context in) {
  if (!in.reload)
    co_return failure("no relay runs with this database; one that starts reads its configuration");
  const auto done = co_await in.reload();
  if (!done) co_return failure(done.error().log.text);
  json::array lines;
  for (const std::string& line : *done) lines.push_back(json::string(line));
  co_return json::object{{"ok", true}, {"changes", std::move(lines)}};
}

}  // namespace relay
