#pragma once

#include "common/engine/protocol.hpp"

namespace relay::luma {

/// The official API, api.lumalabs.ai/dream-machine/v1.
extern const protocol official_protocol;

}  // namespace relay::luma
