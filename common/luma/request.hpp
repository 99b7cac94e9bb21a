#pragma once

// A stored request on its way upstream: what every protocol does with it.

#include "common/base/json_arena.hpp"
#include "common/luma/actions.hpp"

namespace relay::luma {

/// The stored request of a task, with ids of ours translated to the upstream's. Errors: invalid_request when
/// a referenced generation has no id upstream, or the stored text is no object.
result<json::object> outgoing_request(const task& t, const id_translation& translate, json_arena& memory);

/// The own name of the model that the request asks for; for a client that named none, or one that videos are
/// only billed under, the one that the configuration names for such a job. Empty: none.
std::string own_model(const json::object& request, const action& a, const outgoing_settings& with);

/// Gives the member another name; what stood under it is replaced.
void rename_member(json::object& o, std::string_view from, std::string_view to);

}  // namespace relay::luma
