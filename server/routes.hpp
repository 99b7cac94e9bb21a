#pragma once

// The public API as one table, and the private one.

#include "server/route.hpp"

namespace relay {

const route_table& public_routes();
const route_table& admin_routes();

}  // namespace relay
