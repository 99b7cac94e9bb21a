#pragma once

// How the relay is, part by part, as GET /readyz shows it.

#include <string>
#include <string_view>
#include <vector>

namespace relay {

struct part_state {
  std::string_view name;
  bool is_well = true;
  std::string why;  // what is wrong, for the client that probes it
};

struct readiness {
  bool ready = true;       // it wants requests: it does not stop, and can write
  bool takes_jobs = true;  // new ones
  std::vector<part_state> parts;
};

}  // namespace relay
