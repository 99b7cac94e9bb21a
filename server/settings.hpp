#pragma once

// The configuration's sections as the limits of the parts that use them. Pure.

#include "common/engine/customer_limits.hpp"
#include "common/engine/policy.hpp"
#include "config/config.hpp"
#include "server/http/session.hpp"
#include "server/names/lookup.hpp"

namespace relay {

policy policy_of(const config& c);
http::session_limits limits_of(const server_config& c);
/// What an account may have for which nothing else is said.
customer_limits usual_limits(const config& c);
name_servers servers_of(const dns_config& c);

}  // namespace relay
