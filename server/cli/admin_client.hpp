#pragma once

// A command for the relay: through the admin socket of the server that has the database, or run here when
// none has it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.hpp"

namespace relay::cli {

/// The response. nullopt: it failed, why was printed on standard error, and `status` is the exit status.
std::optional<json::object> ask(const std::string& config_file, const json::object& request, int& status);

/// A number in a response; 0 when it is not there.
std::int64_t number_in(const json::object& response, std::string_view key);
/// What a response says of jobs that were cancelled, as sentences.
std::string cancelled_text(const json::object& response);

/// "NAME=NUMBER" and "NAME=default" each, as the commands take limits.
json::object limits_said(const std::vector<std::string>& texts);

}  // namespace relay::cli
