#pragma once

// How the relay is, part by part, as GET /readyz shows it.

#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.hpp"

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

/// The body of GET /readyz.
inline json::object as_json(const readiness& state) {
  json::object parts;
  for (const part_state& p : state.parts) {
    json::object shown{{"ok", p.is_well}};
    if (!p.is_well) shown["why"] = json::string(p.why);
    parts[p.name] = std::move(shown);
  }
  return {{"status", state.ready ? "ready" : "not ready"},
          {"takes_jobs", state.takes_jobs},
          {"parts", std::move(parts)}};
}

}  // namespace relay
