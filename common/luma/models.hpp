#pragma once

// Spellings of model names. A client sees its own in the echo; each kind of upstream gets the one it knows.

#include <string>
#include <string_view>

namespace relay::luma {

/// Named when neither the client nor the operator names one.
inline constexpr std::string_view usual_model = "ray-2";

/// For the official API. `default_model` stands in for names that stations bill videos under.
std::string_view official_model(std::string_view name, const std::string& default_model);

/// For stations.
std::string_view station_model(std::string_view name);

}  // namespace relay::luma
