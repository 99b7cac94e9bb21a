#pragma once

// The life of a task: the only place where one changes state. `advance` is pure and total: every state and
// every event is defined, most pairs as "unchanged". Retry, back-off, expiry and giving up are all here; the
// callbacks that a change causes are in callbacks.hpp.

#include "common/engine/events.hpp"
#include "common/engine/policy.hpp"
#include "common/engine/task.hpp"

namespace relay {

/// The task after the event, or an equal one when the event means nothing in its state. A change to running,
/// completed or failed adds a pending callback. `jitter` in [0, 1). Does not touch `revision`.
task advance(task t, const task_event& e, timestamp now, const policy& p, double jitter);

/// True if nothing differs but the time of the next poll: the poll had no news, and nothing need be written.
/// A restart polls such a job at once.
bool only_polled_later(const task& before, const task& after);

}  // namespace relay
