#pragma once

// The configuration's sections as the limits of the parts that use them. Pure.

#include "common/engine/policy.hpp"
#include "common/engine/token_limits.hpp"
#include "config/config.hpp"
#include "server/http/session.hpp"
#include "server/names/lookup.hpp"

namespace relay {

policy policy_of(const config& c);
http::session_limits limits_of(const server_config& c);
token_limits limits_of(const limits_config& c);
name_servers servers_of(const dns_config& c);

}  // namespace relay
