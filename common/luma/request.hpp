#pragma once

// A stored request on its way upstream: what every protocol does with it.

#include "common/base/json_arena.hpp"
#include "common/engine/price.hpp"
#include "common/luma/actions.hpp"

namespace relay::luma {

/// The stored request of a task, with ids of ours translated to the upstream's. Errors: invalid_request when
/// a referenced generation has no id upstream, or the stored text is no object.
result<json::object> outgoing_request(const task& t, const id_translation& translate, json_arena& memory);

/// The own name of the model that the request asks for; for a client that named none, or one that videos are
/// only billed under, the one that the configuration names for such a job. Empty: none.
std::string own_model(const json::object& request, const action& a, const outgoing_settings& with);

/// Of a request, what its price depends on. The model is the one that it would get anywhere: what an upstream
/// has for those that name none is not known before it has an upstream.
job_traits describe(const json::object& request, const relay::action& a, const model_names& names);

/// What is priced for a model, or allowed because of it, must be made with it: a request that names none, or
/// a name for billing, gets the one that describe() says.
void settle_model(json::object& request, const relay::action& a, const model_names& names);

/// Gives the member another name; what stood under it is replaced.
void rename_member(json::object& o, std::string_view from, std::string_view to);

}  // namespace relay::luma
