#pragma once

// What is submitted for a task: its request with ids of ours translated, built by the upstream's protocol.
// The reconciler compares the upstream's list with it. Loop thread.

#include <string>

#include "common/engine/protocol.hpp"
#include "server/asio.hpp"
#include "storage/store.hpp"

namespace relay {

/// Errors: invalid_request when a job that the request builds on has no id upstream; those of
/// store::find_many.
awaitable<result<outgoing>> outgoing_request(store& s, const task& t, const protocol& p,
                                             const outgoing_settings& with);

}  // namespace relay
