#pragma once

// The operator's commands about upstreams. See admin_commands.hpp. Loop thread.

#include <string>

#include "common/engine/submit_lane.hpp"
#include "server/admin_commands.hpp"

namespace relay {

/// Each key of each upstream: what it takes, its circuit, its limits, its jobs, its last problem.
json::object list_upstreams(const admin_context& in);
/// `name`: an upstream, which is all of its keys, or NAME/KEY; "NAME/" is the key without a name. Without a
/// relay that runs it is written down for the next one.
awaitable<json::object> set_upstream_mode(admin_context in, std::string name, lane_mode m);
awaitable<json::object> reload(admin_context in);

}  // namespace relay
