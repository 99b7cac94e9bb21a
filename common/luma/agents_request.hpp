#pragma once

// A job in the words of Luma's agents API (agents.lumalabs.ai/v1), as far as that can do it. Facts:
// docs.agents.lumalabs.ai, the official SDK luma-agents.

#include "common/engine/protocol.hpp"
#include "common/luma/actions.hpp"

namespace relay::luma {

/// `request`: as it is stored, its ids being the upstream's already. Errors: invalid_request, for the client:
/// which field, and what is allowed.
result<json::object> agents_request(const action& a, const json::object& request,
                                    const outgoing_settings& with);

}  // namespace relay::luma
