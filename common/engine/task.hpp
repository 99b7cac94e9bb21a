#pragma once

// The centre of the relay: one job, as a plain value. Everything else either computes something from a task
// or is a thin piece of I/O that moves one to its next state. Only `advance` (lifecycle.hpp) changes `state`.

#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>

#include "common/base/money.hpp"
#include "common/base/time.hpp"
#include "common/engine/action.hpp"

namespace relay {

struct dialect;

enum class task_state : std::uint8_t {
  pending,     // on disk, not yet given to an upstream
  submitting,  // the attempt is on disk, its outcome not known
  queued,      // an upstream accepted it
  running,     // the upstream works on it
  completed,
  failed,
};

inline constexpr task_state all_states[] = {task_state::pending, task_state::submitting, task_state::queued,
                                            task_state::running, task_state::completed,  task_state::failed};

/// The name as stored, logged and shown to the operator.
std::string_view name_of(task_state s);
std::optional<task_state> task_state_from(std::string_view name);
inline bool is_terminal(task_state s) {
  return s == task_state::completed || s == task_state::failed;
}

struct task {
  std::int64_t row = 0;    // a number given by the store at insert; shown as `id` in the envelope
  std::string id;          // UUIDv7, what clients know
  std::int64_t owner = 0;  // account::id
  std::int64_t token = 0;  // token::id, of the one it was created with; see token_of()
  const relay::dialect* dialect = nullptr;  // the one it was created in; its callbacks are rendered in it
  const relay::action* action = nullptr;    // the kind of job

  std::string request;       // JSON object in the family's official field names, unknown fields kept
  std::string callback_url;  // as the client sent it; empty: none
  std::string traceparent;   // the trace that it belongs to (W3C Trace Context); empty: none
  money price;               // what its account pays when it is completed, as it was when it was created
  std::string marker;  // the secret in the callback URL the upstream was given; empty: it was given none

  task_state state = task_state::pending;
  int progress = -1;        // percent, as the upstream reported it; -1: it did not
  std::string upstream;     // name of the upstream that has, or must get, the job
  bool pinned = false;      // the job refers to another one that only `upstream` holds
  std::string upstream_id;  // the job's id there
  std::string reply;        // the upstream's last usable reply, JSON, whole

  std::string fail_reason;  // shown to the client
  int fail_status = 0;      // HTTP status of the refusal, when the upstream refused the request itself

  int attempts = 0;        // submissions begun
  std::string attempt_id;  // of the last one, UUIDv7; empty: none was begun
  std::string submitter;   // the process that began it (its instance id); empty: none
  int misses = 0;          // polls, or readings of the upstream's list, in a row without a usable response
  int not_found = 0;       // of these, 404s in a row that count

  // What callback_url must still be sent: one letter a state, the oldest first: r, c, f (callbacks.hpp).
  std::string pending_callbacks;
  int callbacks_done = 0;         // delivered or given up; numbers the oldest pending one
  int callback_attempts = 0;      // for the oldest pending one
  bool callback_stopped = false;  // it responded with 410: nothing more is sent
  std::string callback_problem;   // how the last attempt failed, for the operator

  std::string story;  // problems so far, a line each (story.hpp)

  timestamp next_submit_at;     // due to be submitted
  timestamp next_poll_at;       // due to be polled
  timestamp next_reconcile_at;  // due to be looked up in the upstream's list
  timestamp next_callback_at;   // a callback is due
  timestamp next_remove_at;     // due to be deleted at the upstream too
  timestamp deadline;           // pending: to be submitted; later: to end

  timestamp created_at;
  timestamp updated_at;
  timestamp attempted_at;   // the last submission began
  timestamp ambiguous_at;   // since then its outcome is unknown: the upstream may or may not have the job
  timestamp absent_at;      // a list that would have shown it was asked for then, and did not (rule M10)
  timestamp not_found_at;   // the first of the 404s in a row
  timestamp cancelled_at;   // cancelled while it was being submitted: it is not submitted again
  timestamp deleted_at;     // by its client, who sees it no more; it is followed to its end all the same
  timestamp held_at;        // pending since a backup was restored: it goes nowhere until an operator says so
  timestamp started_at;     // the upstream accepted it
  timestamp finished_at;    // it completed or failed: set in these states, and in no other
  timestamp links_until;    // completed: the addresses of the result work until then; never: nobody says
  timestamp links_lost_at;  // since then they do not, and the upstream has no others

  std::int64_t revision = 0;  // compare-and-set: the store adds one at each save

  friend bool operator==(const task&, const task&) = default;
};

/// A task as it was at one revision; shared, never changed.
using task_ptr = std::shared_ptr<const task>;

/// The token it was created with. Jobs from before there were accounts do not say: then each token was an
/// account with the same number.
inline std::int64_t token_of(const task& t) {
  return t.token != 0 ? t.token : t.owner;
}

/// Submitted, and it is not known yet whether the upstream created it: it is looked up there.
inline bool is_ambiguous(const task& t) {
  return t.state == task_state::submitting && is_set(t.ambiguous_at);
}

/// What a client may know of: its own, as long as it has not deleted it (rule S3).
inline bool is_shown_to(const task& t, std::int64_t owner) {
  return t.owner == owner && !is_set(t.deleted_at);
}

/// It was told "failed", because its submission was lost and never found; it is still looked up, for a
/// while.
inline bool is_looked_up_late(const task& t) {
  return t.state == task_state::failed && is_set(t.ambiguous_at);
}

/// It waited in a backup that was restored, and may have been submitted since that was made.
inline bool is_held(const task& t) {
  return t.state == task_state::pending && is_set(t.held_at);
}

/// Bytes of memory it takes, as far as a cache's limit is concerned.
std::size_t memory_of(const task& t);

/// One line for logs and test failures; no request text.
std::ostream& operator<<(std::ostream& out, const task& t);

}  // namespace relay
