#pragma once

// What became of a submission whose answer was lost: the upstream's list, and what it says about a task.
// Pure. A job of ours is known by our marker, the callback URL that it was submitted with and that the list
// echoes; without one, by being the same request within the time of the attempt, when only one job can be
// meant.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/engine/lifecycle.hpp"
#include "common/luma/outgoing.hpp"

namespace relay {

/// A job in an upstream's list.
struct listed_job {
  job said;
  std::string reply;         // the item, as a reply about the job would be
  timestamp created_at;      // never: the upstream does not say
  std::string callback_url;  // echoed; empty: none
};

/// A page of it. Errors: upstream_unavailable when it is no list.
struct listed_page {
  std::vector<listed_job> jobs;
  std::optional<bool> has_more;  // nullopt: the upstream does not say
};
result<listed_page> parse_list(std::string_view body);

/// As much of the list as was read.
struct listing {
  timestamp asked_at;  // when the first page was asked for
  std::vector<listed_job> jobs;
  bool ended = false;  // the last page was read

  /// True if every job created at `since` or later is in it, as far as its order can be trusted.
  bool covers(timestamp since) const;
  /// True if it is seen to echo callback URLs such as ours. What an answer to a create echoes proves nothing:
  /// the list may be made otherwise.
  bool echoes() const;
  /// True if each job created at `since` or later, or at an unknown time, shows the request it was made with.
  bool shows_requests(timestamp since) const;
  /// A page more; jobs that have moved on from an earlier page are not taken twice.
  void add(std::vector<listed_job> page);

  std::unordered_set<std::string> ids_{};  // of what add() took
};

/// Clocks of the two sides may differ by this much.
inline constexpr std::chrono::minutes clock_tolerance{1};

/// The earliest time that a list must reach back to for a task's sake.
timestamp needed_since(const task& t);

struct suspicion {
  const task& of;
  const outgoing& sent;  // what was submitted
};

/// `others`: all tasks of this upstream that are being submitted, lost or not. `known`: true for an upstream
/// id that some task of ours has. `echoes`: the upstream is known to echo our markers. The event is `found`
/// or `absent`.
task_event look_for(const suspicion& s, const listing& seen, std::span<const suspicion> others, bool echoes,
                    const std::function<bool(const std::string&)>& known);

}  // namespace relay
