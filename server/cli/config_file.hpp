#pragma once

// The configuration for a subcommand: the file, the environment over it, and all problems on standard error.

#include <optional>
#include <string>

#include "config/load.hpp"

namespace relay::cli {

/// An empty name: the environment alone. nullopt: problems were printed.
std::optional<config> read_config(const std::string& file);

/// The same for commands that only need the database: upstreams and their keys need not be there.
std::optional<config> read_config_of_database(const std::string& file);
std::optional<std::string> database_path(const std::string& file);

/// The same, with what is wrong in it, for a relay that runs.
loaded_config load_config_file(const std::string& file);

}  // namespace relay::cli
