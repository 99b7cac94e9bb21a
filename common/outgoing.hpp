#pragma once

// What goes to the upstream for a task: path and body in the dialect that upstream speaks.

#include <functional>
#include <optional>
#include <string>

#include "common/error.hpp"
#include "common/task.hpp"

namespace relay {

/// `luma`: the official API. `station`: a transit station's /luma/generations with the web app's body.
enum class protocol : std::uint8_t { luma, station };

struct outgoing {
  std::string path;  // below the upstream's base
  std::string body;  // JSON
};

/// The upstream's id for one of ours; nullopt when it has none.
using id_translation = std::function<std::optional<std::string>(const std::string&)>;

/// True if an upstream of this protocol can take the task at all.
bool can_serve(protocol p, const task& t);

/// `default_model` is sent when the client named none and the protocol is `luma`; empty: none.
/// Errors: invalid_request when a referenced generation has no id upstream.
result<outgoing> make_outgoing(const task& t, protocol p, const std::string& default_model,
                               const id_translation& translate);

/// Path of the question about a job.
std::string fetch_path(protocol p, const std::string& upstream_id);

}  // namespace relay
