#pragma once

// What became of a submission whose response was lost: the upstream's list, and what it says about a task.
// Pure. A job of ours is known by our marker, the callback URL that it was submitted with and that the list
// echoes; without one, by being the same request within the time of the attempt, when only one job can be
// meant.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/engine/events.hpp"
#include "common/engine/protocol.hpp"
#include "common/engine/task.hpp"

namespace relay {

/// Clocks of the two sides may differ by this much.
inline constexpr std::chrono::minutes clock_tolerance{1};

/// The earliest time that a list must reach back to for a task's sake.
timestamp needed_since(const task& t);

/// A submission and what was sent for it.
struct lost_submission {
  /// `sent`: empty body: what was sent is not known.
  lost_submission(task_ptr t, const outgoing& sent, const protocol& p);

  task_ptr of;
  std::string path;
  json::object request;  // the body, without the marker: that is each task's own
  bool readable;         // the body could be read
};

/// A job that this upstream has accepted from us: what a list must show to be taken for a fresh one.
struct witness {
  std::string upstream_id;
  std::string marker_path;  // empty: it had none
  timestamp attempted_at;   // its submission began
  timestamp accepted_at;    // its response came
};

/// One reading of an upstream's list, a page after the other. Of the jobs that cannot be meant it keeps the
/// ids only.
class listing {
 public:
  /// `requested_at`: when the first page was asked for. `wanted`: the submissions it is read for.
  listing(timestamp requested_at, std::vector<lost_submission> wanted, const protocol& p);

  /// True if the page began with a job that was there already.
  bool add(const listed_page& page);
  /// The last page was added.
  void end() { ended_ = true; }

  timestamp requested_at() const { return requested_at_; }
  /// Jobs so far.
  std::size_t size() const { return shown_.size(); }
  const std::vector<lost_submission>& wanted() const { return wanted_; }
  /// True if every job created at `since` or later is in it, as far as its order can be trusted.
  bool covers(timestamp since) const;
  /// True if it is seen to echo callback URLs such as ours. What a response to a create echoes proves
  /// nothing: the list may be made otherwise.
  bool echoes() const { return echoes_; }
  /// True if each item of `since` or later could be read, and shows the request it was made with.
  bool is_clear(timestamp since) const;
  /// The jobs that were accepted between two times.
  struct acceptance {
    timestamp since;  // their submissions began after that
    timestamp until;  // they were accepted before that
    timestamp late;   // one whose submission began after that shows that the list is new enough
  };
  /// True if it misses none of these jobs, has them at their times, and shows a marked one that began late.
  bool is_fresh(const acceptance& when, std::span<const witness> accepted) const;
  /// The job that bears the task's marker, if the list shows one.
  const listed_job* marked(const task& t) const;
  /// Ids of jobs that could be taken for wanted ones.
  std::vector<std::string> candidate_ids() const;
  const std::vector<listed_job>& candidates(const std::string& task_id) const;

 private:
  void note(const listed_job& j);

  const timestamp requested_at_;
  const std::vector<lost_submission> wanted_;
  const protocol& speaks_;
  struct shown_job {
    timestamp created_at;
    std::string callback_url;  // when it is ours
  };
  std::unordered_map<std::string, shown_job> shown_;                     // by id
  std::unordered_map<std::string, listed_job> marked_;                   // wanted ones, by task id
  std::unordered_map<std::string, std::vector<listed_job>> candidates_;  // by task id
  bool ended_ = false;
  bool echoes_ = false;
  bool ordered_ = true;                  // newest first, each with its time
  timestamp oldest_ = timestamp::max();  // of the last job
  // The newest time an item that says too little may have; max: any.
  timestamp unclear_ = timestamp::min();
};

/// What the engine must know of the upstream whose list it is.
struct list_source {
  bool echoes_markers = false;  // its list is known to echo callback URLs of ours
  /// Our clock can be compared with the upstream's.
  bool clock_is_right = true;
  /// True for a job id there that some task of ours has.
  std::function<bool(const std::string&)> is_known;
  /// Jobs that it has accepted from us of late.
  std::span<const witness> accepted;
  /// A job may be in the list so much later than its response came.
  milliseconds list_delay{0};
  /// A job may be created so much later than its response was lost.
  milliseconds late_creation{0};
};

/// `s`: one of seen.wanted(). `others`: all submissions to this upstream that have no job yet, lost or not.
/// The event is `found` or `absent`.
task_event find_lost(const lost_submission& s, const listing& seen, std::span<const lost_submission> others,
                     const list_source& from);

/// True if what an upstream shows of a job cannot be the task's: it bears another marker, was made before the
/// task was submitted, or from another request. `s`: the task, and what was sent for it.
bool contradicts(const lost_submission& s, const listed_job& shown, const protocol& p);

}  // namespace relay
