#pragma once

// A command for the relay: through the admin socket of the server that has the database, or run here when
// none has it.

#include <optional>
#include <string>

#include "common/base/json.hpp"

namespace relay::cli {

/// The response. nullopt: it failed, why was printed on standard error, and `status` is the exit status.
std::optional<json::object> ask(const std::string& config_file, const json::object& request, int& status);

}  // namespace relay::cli
