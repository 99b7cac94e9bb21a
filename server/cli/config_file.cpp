#include "server/cli/config_file.hpp"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

#include "config/load.hpp"

namespace relay::cli {
namespace {

std::optional<std::string> from_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

std::optional<std::string> read_file(const std::string& file) {
  if (file.empty()) return "";
  std::ifstream in(file);
  if (!in) {
    std::cerr << "luma-relay: cannot read " << file
              << "\nGive the right path with --config, or start from config/luma-relay.example.toml\n";
    return std::nullopt;
  }
  return std::string{std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

std::optional<config> read_config(const std::string& file) {
  const auto text = read_file(file);
  if (!text) return std::nullopt;
  loaded_config loaded = load_config(*text, file, from_environment);
  if (loaded.problems.empty()) return std::move(loaded.value);
  std::cerr << "luma-relay: the configuration is wrong in " << loaded.problems.size()
            << (loaded.problems.size() == 1 ? " place:\n" : " places:\n");
  for (const config_problem& p : loaded.problems) std::cerr << "  " << to_string(p) << "\n";
  if (file.empty() && loaded.value.upstreams.empty())
    std::cerr << "No file was given; use --config FILE, or set LUMA_RELAY_UPSTREAM_1_URL and the like\n";
  return std::nullopt;
}

loaded_config load_config_file(const std::string& file) {
  std::string text;
  if (!file.empty()) {
    std::ifstream in(file);
    loaded_config unreadable;
    unreadable.problems.push_back({file, "", "cannot be read"});
    if (!in) return unreadable;
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  return load_config(text, file, from_environment);
}

std::optional<config> read_config_of_database(const std::string& file) {
  const auto text = read_file(file);
  if (!text) return std::nullopt;
  loaded_config loaded = load_config(*text, file, from_environment);
  bool usable = true;
  for (const config_problem& p : loaded.problems) {
    if (p.key.starts_with("upstream")) continue;
    if (usable) std::cerr << "luma-relay: the configuration is wrong:\n";
    usable = false;
    std::cerr << "  " << to_string(p) << "\n";
  }
  if (!usable) return std::nullopt;
  return std::move(loaded.value);
}

std::optional<std::string> database_path(const std::string& file) {
  const auto settings = read_config_of_database(file);
  if (!settings) return std::nullopt;
  return settings->storage.path;
}

}  // namespace relay::cli
