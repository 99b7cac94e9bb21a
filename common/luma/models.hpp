#pragma once

// Names of models. A client sees its own in the echo; each kind of upstream gets the one it knows.

#include <string_view>

namespace relay::luma {

/// Named when neither the client nor the operator names one.
inline constexpr std::string_view usual_model = "ray-2";

/// True for a name that stations bill videos under: it is no model's.
bool is_billing_name(std::string_view name);

/// What stations call a model of the official API.
std::string_view station_model(std::string_view name);

}  // namespace relay::luma
