#pragma once

// Reading the configuration: a TOML file, then the environment over it. All problems are reported at once,
// each with where it is and what is allowed; nothing is read from the real environment here but through
// `getenv`.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace relay {

struct config_problem {
  std::string where;    // "luma-relay.toml:12" or "environment"
  std::string key;      // "server.listen"
  std::string message;  // what is wrong, what is allowed

  friend bool operator==(const config_problem&, const config_problem&) = default;
};

bool valid_upstream_name(std::string_view name);

std::string to_string(const config_problem& p);

struct loaded_config {
  config value;
  std::vector<config_problem> problems;  // empty: usable
};

/// Looks one variable up; nullopt when it is not set.
using env_lookup = std::function<std::optional<std::string>(const std::string& name)>;

/// `text` is the file's content, `file` its name for messages; both empty when there is no file.
loaded_config load_config(std::string_view text, std::string_view file, const env_lookup& env);

/// The effective configuration as TOML, secrets as "[secret]".
std::string print_config(const config& c);

/// config/luma-relay.example.toml.
std::string example_config();

/// The table in config/README.md.
std::string reference_table();

}  // namespace relay
