#pragma once

// What a client can ask for: the create endpoints, as one table. A new kind of job is a new row here, a rule
// in validation.cpp, and a route.

#include <cstdint>
#include <optional>
#include <string_view>

namespace relay {

enum class endpoint : std::uint8_t {
  generations,  // POST /generations: video, the form used by clients before SDK 1.11
  video,        // POST /generations/video
  image,        // POST /generations/image
};

struct endpoint_info {
  std::string_view name;             // as stored
  std::string_view path;             // below /dream-machine/v1
  std::string_view action;           // in the envelope
  std::string_view generation_type;  // the official top-level word
};

const endpoint_info& info(endpoint e);
std::optional<endpoint> endpoint_from(std::string_view name);

}  // namespace relay
