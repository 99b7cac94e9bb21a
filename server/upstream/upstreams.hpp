#pragma once

// All upstreams that the relay has known since it started, one for each key, in the order of the lanes they
// are to the dispatcher. A reload changes them in place, adds new ones at the end, and takes none away: what
// is under way may still hold them. Loop thread.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/engine/family.hpp"
#include "common/engine/submit_lane.hpp"
#include "config/config.hpp"
#include "server/upstream/upstream.hpp"

namespace relay {

/// What the configuration says of one upstream under one of its keys.
struct planned_upstream {
  upstream_config settings;
  const protocol* speaks = nullptr;
  lane_settings lane;
  std::shared_ptr<const outgoing_settings> with;
  std::shared_ptr<connection_pool> pool;
  bool is_other = false;  // known by this name, with another key or address
};

class upstreams {
 public:
  upstreams(asio::io_context& loop, deadlines& d, resolver& names)
      : loop_(loop), deadlines_(d), names_(names) {
    all_.reserve(max_lanes);  // iterators stay, also over a reload
  }

  /// All that a configuration needs, made or checked, before anything is changed. Errors: invalid_request, as
  /// log text: a CA file that cannot be used, a protocol that is not known or that was another before.
  result<std::vector<planned_upstream>> prepare(const config& c, const catalogue& names);
  /// From now on it is as planned. Returns the places of those that are in the plan, in its order.
  std::vector<std::size_t> take_over(std::vector<planned_upstream> plan);

  /// Also those that are no longer configured.
  const std::vector<std::unique_ptr<upstream>>& all() const { return all_; }
  /// Null when none of this name is configured.
  upstream* find(std::string_view name) const;
  /// Names of all that are at the same address: their keys may be of one account there.
  std::vector<std::string> at_the_place_of(const upstream& u) const;
  /// Closes connections that were kept for too long.
  void prune();

 private:
  std::shared_ptr<connection_pool> pool_for(const upstream_config& u) const;

  asio::io_context& loop_;
  deadlines& deadlines_;
  resolver& names_;
  std::vector<std::unique_ptr<upstream>> all_;
};

}  // namespace relay
