#pragma once

#include "common/base/json.hpp"
#include "common/engine/protocol.hpp"

namespace relay::luma {

/// An API reseller's /luma/generations, with the web app's body.
extern const protocol station_protocol;

/// A video as a station takes it.
outgoing video_for_station(json::object request);

}  // namespace relay::luma
