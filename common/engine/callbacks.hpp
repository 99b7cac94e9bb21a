#pragma once

// The callbacks that a task still has to make to its client: which are pending, what each says, when the next
// attempt is due (rule M7: they are part of the state that caused them). Pure; used by lifecycle.cpp and the
// deliverer.

#include <string>

#include "common/engine/events.hpp"
#include "common/engine/policy.hpp"
#include "common/engine/task.hpp"

namespace relay {

/// Whether task::pending_callbacks may hold this: a letter for each callback, the oldest first.
bool valid_pending_callbacks(std::string_view letters);

/// Adds the callback that a change from `before` to the task's state causes, if any.
void add_callback(task& t, task_state before, timestamp now);

// Each says whether the event meant anything. `jitter` in [0, 1).

bool settle_callback(task& t, const event::delivered& e, timestamp now);
bool settle_callback(task& t, const event::delivery_failed& e, timestamp now, const policy& p, double jitter);
bool request_callback(task& t, timestamp now);

/// Id of the oldest pending callback's message, the same over retries: `msg_<task>_<number>`.
std::string message_id(const task& t);

/// The task as the oldest pending callback shows it. When it has moved on since, what came later is left out,
/// so that every attempt carries the same message.
task task_in_callback(const task& t);

}  // namespace relay
