#pragma once

// What goes to the upstream for a task: path and body in the dialect that upstream speaks.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/engine/task.hpp"

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

/// What every request to an upstream is made with.
struct outgoing_settings {
  protocol speaks = protocol::luma;
  std::string default_model;  // sent when the client named none and the protocol is `luma`; empty: none
  std::string public_url;     // where the upstream can call the relay; empty: it is given no address
};

/// Errors: invalid_request when a referenced generation has no id upstream.
result<outgoing> make_outgoing(const task& t, const outgoing_settings& with, const id_translation& translate);

/// The address an upstream calls about a task; it marks the job as ours in the upstream's list. Empty when
/// the task has no marker or `public_url` is empty.
std::string marker_url(const std::string& public_url, const task& t);
/// The end of that address, which stays the same when `public_url` changes: `/callbacks/<task>/<marker>`.
/// Empty when the task has no marker.
std::string marker_path(const task& t);
/// True for an address that ends as a marker path does.
bool is_marked(std::string_view url);

/// Path of an upstream's list, newest first as far as is known.
std::string list_path(std::size_t limit, std::size_t offset);

/// Path of the question about a job.
std::string fetch_path(protocol p, const std::string& upstream_id);

}  // namespace relay
