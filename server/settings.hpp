#pragma once

// The configuration's sections as the limits of the parts that use them. Pure.

#include "common/engine/policy.hpp"
#include "config/config.hpp"
#include "server/http/session.hpp"

namespace relay {

policy policy_of(const config& c);
http::session_limits limits_of(const server_config& c);

}  // namespace relay
