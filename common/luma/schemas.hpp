#pragma once

// What Luma's requests and tasks look like, as JSON Schema 2020-12, for the description of the public API.

#include "common/base/json.hpp"
#include "common/engine/action.hpp"

namespace relay::luma {

/// What a client sends for this kind of job, made of the rules that check it.
json::object request_schema(const relay::action& a);

// A task in each of the forms that clients read; there is more in them.
json::object official_schema();
json::object web_app_schema();
json::object link_schema();

}  // namespace relay::luma
