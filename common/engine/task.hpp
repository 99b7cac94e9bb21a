#pragma once

// The centre of the relay: one job, as a plain value. Everything else either computes something from a task
// or is a thin piece of I/O that moves one to its next state. Only `advance` (lifecycle.hpp) changes `state`.

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "common/luma/action.hpp"
#include "common/base/time.hpp"

namespace relay {

enum class task_state : std::uint8_t {
  pending,     // on disk, not yet handed out
  submitting,  // the attempt is on disk, its outcome not known
  queued,      // an upstream accepted it
  dreaming,    // the upstream works on it
  completed,
  failed,
};

inline constexpr task_state all_states[] = {task_state::pending,  task_state::submitting, task_state::queued,
                                            task_state::dreaming, task_state::completed,  task_state::failed};

std::string_view name_of(task_state s);
std::optional<task_state> task_state_from(std::string_view name);
inline bool is_terminal(task_state s) {
  return s == task_state::completed || s == task_state::failed;
}

/// The dialect a task was created in; callbacks are rendered in it.
enum class dialect_id : std::uint8_t { dream_machine, luma };

std::string_view name_of(dialect_id d);
std::optional<dialect_id> dialect_from(std::string_view name);

struct task {
  std::int64_t row = 0;    // integer id, given by the store at insert
  std::string id;          // UUIDv7, what clients know
  std::int64_t owner = 0;  // token::id
  dialect_id dialect = dialect_id::dream_machine;
  endpoint asked_at = endpoint::generations;
  std::string platform = "luma";

  std::string request;       // JSON object in the official field names, unknown fields kept, no callback_url
  std::string callback_url;  // as the client sent it; empty: none
  std::string marker;  // the secret in the callback URL the upstream was given; empty: it was given none

  task_state state = task_state::pending;
  int progress = -1;        // percent, as the upstream said; -1: it did not say
  std::string upstream;     // name of the upstream that has, or must get, the job
  bool pinned = false;      // the job refers to another one that only `upstream` holds
  std::string upstream_id;  // the job's id there
  std::string reply;        // the upstream's last usable reply, JSON, whole

  std::string fail_reason;  // shown to the client
  int fail_status = 0;      // HTTP status of the refusal, when the upstream refused the request itself

  int attempts = 0;   // submissions begun
  int misses = 0;     // polls, or looks at the upstream's list, in a row without a usable answer
  int not_found = 0;  // of these, 404s in a row

  // The debt to callback_url: one letter a state to tell of, the oldest first: d, c, f.
  std::string owed;
  int callbacks_done = 0;         // delivered or given up; numbers the oldest owed
  int callback_attempts = 0;      // for the oldest owed
  bool callback_stopped = false;  // it answered 410: nothing more is owed
  std::string callback_problem;   // how the last attempt failed, for the operator

  timestamp next_submit_at;     // due to be handed out
  timestamp next_poll_at;       // due to be asked about
  timestamp next_reconcile_at;  // due to be looked for in the upstream's list
  timestamp next_callback_at;   // a callback is due
  timestamp deadline;           // pending: to be handed out; later: to end

  timestamp created_at;
  timestamp updated_at;
  timestamp attempted_at;  // the last submission began
  timestamp ambiguous_at;  // since then its outcome is unknown: the upstream may or may not have the job
  timestamp started_at;    // the upstream accepted it
  timestamp finished_at;   // it completed or failed

  std::int64_t revision = 0;  // compare-and-set: the store adds one at each save

  friend bool operator==(const task&, const task&) = default;
};

/// Submitted, and nobody knows yet whether the upstream created it: it is being looked for there.
inline bool is_ambiguous(const task& t) {
  return t.state == task_state::submitting && is_set(t.ambiguous_at);
}

/// One line for logs and test failures; no request text.
std::ostream& operator<<(std::ostream& out, const task& t);

}  // namespace relay
