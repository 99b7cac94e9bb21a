#pragma once

// The public API as one table, and the private one.

#include <span>

#include "server/front.hpp"

namespace relay {

std::span<const route> public_routes();
std::span<const route> admin_routes();

}  // namespace relay
