#pragma once

// What became of a submission whose response was lost: the upstream's list, and what it says about a task.
// Pure. A job of ours is known by our marker, the callback URL that it was submitted with and that the list
// echoes; without one, by being the same request within the time of the attempt, when only one job can be
// meant.

#include <functional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/engine/events.hpp"
#include "common/engine/protocol.hpp"
#include "common/engine/task.hpp"

namespace relay {

/// As much of an upstream's list as was read.
struct listing {
  timestamp requested_at;  // when the first page was requested
  std::vector<listed_job> jobs;
  bool ended = false;  // the last page was read

  /// True if every job created at `since` or later is in it, as far as its order can be trusted.
  bool covers(timestamp since) const;
  /// True if it is seen to echo callback URLs such as ours. What a response to a create echoes proves
  /// nothing: the list may be made otherwise.
  bool echoes() const;
  /// True if each job created at `since` or later, or at an unknown time, shows the request it was made with.
  bool shows_requests(timestamp since) const;
  /// A page more; jobs that have moved on from an earlier page are not added twice.
  void add(std::vector<listed_job> page);

  std::unordered_set<std::string> ids_{};  // of what add() added
};

/// Clocks of the two sides may differ by this much.
inline constexpr std::chrono::minutes clock_tolerance{1};

/// The earliest time that a list must reach back to for a task's sake.
timestamp needed_since(const task& t);

/// A submission and what was sent for it.
struct lost_submission {
  /// `sent`: empty body: what was sent is not known.
  lost_submission(const task& t, const outgoing& sent, const protocol& p);

  const task* of;  // outlives this
  std::string path;
  json::object request;  // the body, without the marker: that is each task's own
  bool readable;         // the body could be read
};

/// What the engine must know of the upstream whose list it is.
struct list_source {
  const protocol& speaks;
  bool echoes_markers = false;  // its list is known to echo callback URLs of ours
  /// True for a job id there that some task of ours has.
  std::function<bool(const std::string&)> is_known;
};

/// `others`: all tasks of this upstream that are being submitted, lost or not. The event is `found` or
/// `absent`.
task_event find_lost(const lost_submission& s, const listing& seen, std::span<const lost_submission> others,
                     const list_source& from);

}  // namespace relay
