#pragma once

#include "common/engine/protocol.hpp"

namespace relay::luma {

/// Luma's second API, agents.lumalabs.ai/v1: create and get, neither a list nor callbacks, so that a lost
/// submission cannot be looked up.
extern const protocol agents_protocol;

}  // namespace relay::luma
