#pragma once

// A job of the simulated upstream, and how it looks in either protocol. Pure: time is an argument.

#include <string>

#include "common/base/json.hpp"
#include "common/base/time.hpp"

namespace relay::sim {

enum class phase : std::uint8_t { queued, dreaming, completed, failed };

struct job {
  std::string id;
  std::string key;        // the key it was created with
  std::string kind;       // "video" or "image"
  std::string builds_on;  // generation_type of what is made of another job or of a file; empty: of neither
  json::object request;
  std::string callback_url;
  timestamp created_at;
  int polls = 0;
  milliseconds queued_for{0};
  milliseconds dreams_for{0};
  bool by_polls = false;              // moves on with each question instead of with time
  std::string failure_reason;         // not empty: ends in failed
  std::size_t padding = 0;            // bytes of text at the end of the addresses of its files
  std::chrono::seconds links_for{0};  // its addresses end so long after they are named; 0: never
  int completed_seen = 0;             // how often it was shown as completed

  phase at(timestamp now) const;
};

/// The official shape, optional members as explicit nulls. `assets` is the address its files are served at.
json::object render_official(const job& j, timestamp now, const std::string& assets);

/// The agents API's shape.
json::object render_agents(const job& j, timestamp now, const std::string& assets);

/// The web app's shape, as a station answers.
json::object render_web_app(const job& j, timestamp now, const std::string& assets);

}  // namespace relay::sim
