#pragma once

// A response of many tasks: whole while it is short, else in parts, so that a client that reads slowly costs
// one part of memory, however large the jobs are. Nothing of the store is held while a client reads.

#include <deque>
#include <string>
#include <vector>

#include "server/route.hpp"

namespace relay::handlers {

/// Tasks of these bytes are read at once: the room for store::list() and store::find_many().
inline constexpr std::size_t tasks_at_once = 256 * 1024;

/// What becomes of an id that is not there: in a batch it is left out, in a list it was there a moment ago.
enum class absent : std::uint8_t { left_out, an_error };

/// The caller's tasks with these ids, in the form `how`, in `frame`. `first`: the first of them, as
/// far as they were read. Errors before the first byte: those of the store and the form; after it the
/// connection ends within the response.
awaitable<handled> reply_with_tasks(call& c, const task_form& how, list_frame frame,
                                    std::vector<std::string> ids, std::vector<task_ptr> first, absent a);

}  // namespace relay::handlers
