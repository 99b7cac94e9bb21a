#pragma once

// File descriptors: how many this process may have, and what they are for. A relay that has none left cannot
// open its database's log or reach an upstream, so clients get what the rest of it does not need.

#include <cstddef>
#include <string>

#include "config/config.hpp"

namespace relay {

/// Raises the soft limit to the hard one (at most 1,048,576); the limit in force.
std::size_t raise_descriptor_limit();
/// The limit in force.
std::size_t descriptor_limit();

struct descriptor_plan {
  std::size_t reserve = 0;  // database, upstreams, callbacks, operators
  std::size_t clients = 0;  // connections of clients at once
  std::string warning;      // empty: they get as many as the configuration says
};
/// `limit`: descriptors in all.
descriptor_plan plan_descriptors(const config& c, std::size_t limit);

}  // namespace relay
