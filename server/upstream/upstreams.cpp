#include "server/upstream/upstreams.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>

namespace relay {
namespace {

pool_settings pool_settings_of(const upstream_config& u) {
  pool_settings s;
  s.to = u.base;
  s.to.path.clear();
  s.through = u.through;
  s.ca_file = u.ca_file;
  if (!u.ca_file.empty()) {
    std::ifstream in(u.ca_file);
    s.ca_content.assign(std::istreambuf_iterator<char>(in), {});
  }
  s.max_connections = static_cast<std::size_t>(u.max_connections);
  s.connect_timeout = u.connect_timeout;
  s.idle_timeout = u.idle_timeout;
  return s;
}

// Those with a priority first, the largest before the others; then the rest, each behind the one before it.
std::vector<int> ranks_of(const std::vector<upstream_config>& upstreams) {
  std::map<std::int64_t, int, std::greater<>> by_priority;
  for (const upstream_config& u : upstreams) {
    if (u.priority > 0) by_priority.emplace(u.priority, 0);
  }
  int next = 0;
  for (auto& [priority, rank] : by_priority) rank = next++;
  std::vector<int> out;
  out.reserve(upstreams.size());
  for (const upstream_config& u : upstreams) out.push_back(u.priority > 0 ? by_priority[u.priority] : next++);
  return out;
}

planned_upstream plan_of(const config& c, const upstream_config& one, const protocol* speaks,
                         std::shared_ptr<const outgoing_settings> with, int rank, std::int64_t keys) {
  planned_upstream out;
  out.settings = one;
  out.speaks = speaks;
  out.with = std::move(with);
  lane_settings& l = out.lane;
  l.name = one.name;
  l.speaks = speaks;
  l.with = out.with;
  l.actions = one.actions;
  l.models = one.models;
  l.rank = rank;
  l.weight = one.weight;
  // A quarter of the connections is left for polls; the keys share the rest.
  l.max_in_flight = std::max<std::int64_t>(1, (one.max_connections - one.max_connections / 4) / keys);
  l.max_open = one.max_concurrent;
  l.per_minute = one.creates_per_minute;
  l.careful = c.server.when_busy != "reject";
  l.poll_only = one.poll_only;
  return out;
}

}  // namespace

std::shared_ptr<connection_pool> upstreams::pool_for(const upstream_config& u) const {
  pool_settings s = pool_settings_of(u);
  for (const upstream_config& one : one_for_each_key(u)) {
    const auto known = std::ranges::find(all_, one.name, [](const auto& k) { return k->name(); });
    if (known != all_.end() && (*known)->connections()->settings() == s) return (*known)->connections();
  }
  return std::make_shared<connection_pool>(loop_, deadlines_, names_, std::move(s));
}

result<std::vector<planned_upstream>> upstreams::prepare(const config& c, const catalogue& names) {
  std::vector<planned_upstream> out;
  const std::vector<int> ranks = ranks_of(c.upstreams);
  for (std::size_t i = 0; i < c.upstreams.size(); ++i) {
    const upstream_config& u = c.upstreams[i];
    const protocol* speaks = names.find_protocol(u.protocol);
    if (speaks == nullptr)
      return fail(errc::invalid_request, "upstream " + u.name + ": there is no protocol " + u.protocol);
    std::shared_ptr<connection_pool> pool;
    try {
      pool = pool_for(u);
    } catch (const boost::system::system_error& e) {
      return fail(errc::invalid_request,
                  "upstream " + u.name + ": its ca_file " + u.ca_file + " cannot be used: " + e.what());
    }
    // One for all its keys: what it says of a task is then asked for once (serving_lanes).
    const auto with = std::make_shared<const outgoing_settings>(
        outgoing_settings{u.default_model, c.server.public_url, u.names});
    const std::vector<upstream_config> keys = one_for_each_key(u);
    for (const upstream_config& one : keys) {
      const upstream* known = nullptr;
      for (const auto& k : all_) known = k->name() == one.name ? k.get() : known;
      if (known != nullptr && &known->speaks() != speaks)
        return fail(errc::invalid_request, "upstream " + one.name + " spoke the protocol " +
                                               std::string(known->speaks().name) +
                                               "; one with another protocol needs another name");
      out.push_back(plan_of(c, one, speaks, with, ranks[i], std::ssize(keys)));
      out.back().pool = pool;
      out.back().is_other =
          known != nullptr && (known->settings().key != one.key || known->connections() != pool);
    }
  }
  std::size_t places = all_.size();
  for (const planned_upstream& p : out) {
    places += std::ranges::none_of(all_, [&p](const auto& u) { return u->name() == p.settings.name; });
  }
  if (places > max_lanes)
    return fail(errc::invalid_request, "more than " + std::to_string(max_lanes) +
                                           " upstreams and keys since the start: this needs a restart");
  return out;
}

std::vector<std::size_t> upstreams::take_over(std::vector<planned_upstream> plan) {
  for (const auto& u : all_) u->remove();
  std::vector<std::size_t> places;
  for (planned_upstream& p : plan) {
    const auto known = std::ranges::find(all_, p.settings.name, [](const auto& u) { return u->name(); });
    places.push_back(static_cast<std::size_t>(known - all_.begin()));
    if (known != all_.end()) {
      (*known)->change(std::move(p.settings), std::move(p.with), std::move(p.pool));
    } else {
      all_.push_back(std::make_unique<upstream>(deadlines_, std::move(p.settings), *p.speaks,
                                                std::move(p.with), std::move(p.pool)));
    }
  }
  return places;
}

upstream* upstreams::find(std::string_view name) const {
  const auto at =
      std::ranges::find_if(all_, [name](const auto& u) { return u->configured() && u->name() == name; });
  return at == all_.end() ? nullptr : at->get();
}

std::vector<std::string> upstreams::at_the_place_of(const upstream& u) const {
  std::vector<std::string> out;
  for (const auto& other : all_) {
    if (other->settings().base == u.settings().base) out.push_back(other->name());
  }
  return out;
}

void upstreams::prune() {
  for (const auto& u : all_) u->connections()->prune();
}

}  // namespace relay
