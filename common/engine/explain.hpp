#pragma once

// What a job waits for, or what became of it, in sentences for an operator. Pure. Never empty,
// and without secrets.

#include <span>
#include <string>

#include "common/engine/submit_lane.hpp"
#include "common/engine/task.hpp"

namespace relay {

/// Why a lane takes no job at this moment; empty: it can take one.
std::string obstacle_of(const submit_lane& l, timestamp now);

/// `lanes`: those of the relay that runs; empty: none runs.
std::string explain(const task& t, std::span<const submit_lane> lanes, timestamp now);

}  // namespace relay
