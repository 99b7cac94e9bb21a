#pragma once

// One key of one upstream as a target of submissions: the limits of the configuration and those it has shown,
// whether it is in order, and which upstream gets a job. Pure.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/time.hpp"
#include "common/engine/learned_limit.hpp"
#include "common/engine/outcome.hpp"
#include "common/engine/policy.hpp"
#include "common/engine/protocol.hpp"

namespace relay {

/// What an operator, or the configuration, lets an upstream take.
enum class lane_mode : std::uint8_t {
  open,      // jobs
  paused,    // nothing for now: jobs wait for it
  draining,  // nothing new: what was accepted before still goes
  closed,    // nothing any more: poll_only, or not in the configuration
};
std::string_view name_of(lane_mode m);
std::optional<lane_mode> lane_mode_from(std::string_view name);

/// What outlives the process of a lane.
struct lane_memory {
  std::string name;
  lane_mode mode = lane_mode::open;  // as an operator left it; `closed`: as the configuration says
  std::int64_t at_once = 0;          // learned limits; 0: nothing is known
  std::int64_t in_minute = 0;

  friend bool operator==(const lane_memory&, const lane_memory&) = default;
};

/// What the configuration says of an upstream and one of its keys.
struct lane_settings {
  std::string name;                               // "luma", or "luma/second" for a key with a name
  const protocol* speaks = nullptr;               // null: any task can go there (tests)
  std::shared_ptr<const outgoing_settings> with;  // null: nothing is set
  std::vector<std::string> actions;  // names of those it takes; empty: all that its protocol can do
  std::vector<std::string> models;   // the same, by the model's own name
  int rank = 0;                      // the lowest that can take a job gets it
  std::int64_t weight = 1;           // its share of the jobs among those of its rank
  std::int64_t max_in_flight = 256;  // submissions at once
  std::int64_t max_open = 0;         // jobs at once; 0: no limit of ours
  std::int64_t per_minute = 0;       // submissions in any minute; 0: no limit of ours
  bool careful = true;               // one submission after the other until its limits begin to show
  bool poll_only = false;
};

struct submit_lane : lane_settings {
  submit_lane() = default;
  explicit submit_lane(lane_settings s) : lane_settings(std::move(s)) {}

  std::int64_t in_flight = 0;
  std::int64_t open = 0;            // jobs it has or may have, those in flight included
  std::int64_t window = 1'000'000;  // submissions at once: 1 after a failure, one more with each success
  std::int64_t credit = 0;          // for its turns among those of its rank
  bool has_waiters = false;         // a task that is due waits for it: new ones queue behind
  lane_mode mode = lane_mode::open;
  timestamp mode_since;

  // What its 429s have shown.
  learned_limit at_once, in_minute;
  int limited_in_row = 0;
  int limited_tasks = 0;  // of these, tasks each other than the one before
  std::string limited_task;
  std::int64_t accepted = 0;  // submissions since it was refused the last time, while no limit is known

  // Its circuit.
  int failures = 0;           // in a row; 0: closed
  timestamp cool_down_until;  // nothing goes there until then
  cause why = cause::none;    // of the last failure
  std::string problem;        // the same, in words, for the operator
  timestamp problem_at;
  /// Tasks in a row, each another, that were refused for the account's sake: 401, 402, 403.
  int account_refusals = 0;
  cause account_why = cause::none;
  std::string refused_task;

  bool can_take(timestamp now) const;
  /// A submission begins.
  void begin(timestamp now);
  /// It is over; `began`: the time that begin() was given.
  void end(timestamp began);
  /// It was not sent, after all: end(), and it counts against no limit.
  void take_back(timestamp began);
  /// What came of a submission, before its end(); `of`: the task's id. Returns for how long nothing more goes
  /// there.
  milliseconds ended(const submit_outcome& o, const std::string& of, timestamp began, timestamp now,
                     const policy& p);
  enum class circuit : std::uint8_t { closed, open, half_open };
  circuit state(timestamp now) const {
    return failures == 0 ? circuit::closed : now < cool_down_until ? circuit::open : circuit::half_open;
  }
  /// It has refused the account for several tasks in a row, whatever they were.
  bool refuses_account() const { return account_refusals >= account_refused_from; }
  static constexpr int account_refused_from = 3;
  /// A refused key, or an account without credits, does not mend itself in seconds: the first pause, doubled
  /// up to the longest.
  static constexpr milliseconds account_first{30'000};
  static constexpr milliseconds account_longest{300'000};
  /// When time alone lets it take more: `now` when it does not wait for any time.
  timestamp next_available(timestamp now) const;
  lane_memory memory() const { return {name, mode, at_once.value(), in_minute.value()}; }
  /// As memory() said it. What the configuration has closed stays closed.
  void remember(const lane_memory& m, timestamp now);
  /// Jobs it is known to have.
  std::int64_t has() const { return open - in_flight; }

 private:
  struct submission {
    timestamp began;
    std::int64_t beside = 0;  // jobs it was known to have then
  };

  std::int64_t sent_lately(timestamp now) const;
  std::int64_t accepted_lately(timestamp now) const;
  std::int64_t accepted_before(timestamp began) const;
  timestamp waits_for_minute(timestamp now) const;
  bool too_fast(timestamp now) const;
  std::int64_t had(timestamp began) const;
  void success();
  milliseconds failure(const submit_outcome& o, timestamp now, milliseconds first, milliseconds max);
  milliseconds limited(const submit_outcome& o, const std::string& of, timestamp began, timestamp now,
                       const policy& p);

  std::deque<timestamp> recent_;    // submissions of the last minute, when there is a limit on them
  std::deque<timestamp> accepted_;  // of the last minute, those that were not refused; the newest 4,096
  std::deque<submission> in_flight_;
};

/// True if the upstream could take the task at some time: its protocol can, the configuration and the
/// operator let it, and the task is not pinned elsewhere.
bool serves(const submit_lane& l, const task& t);

/// The same, for one task and many lanes: what a protocol says of the task is asked once for the keys of an
/// upstream, because a protocol may have to read the whole request.
class serving_lanes {
 public:
  explicit serving_lanes(const task& t) : task_(t) {}
  bool contains(const submit_lane& l);

 private:
  const task& task_;
  const protocol* speaks_ = nullptr;  // of the answers below
  const outgoing_settings* with_ = nullptr;
  bool possible_ = false;
  std::optional<std::string> model_;  // when a lane wanted to know it
};

/// Why not, for a client: it names no upstream. Empty: it serves it, or is not meant for it.
std::string why_not(const submit_lane& l, const task& t);

/// Sets of lanes, as bits in the order of the configuration.
using lane_set = std::uint64_t;
inline constexpr std::size_t max_lanes = 64;

/// Which lane gets a task now, and those among which it was chosen.
struct choice {
  std::size_t lane = 0;
  lane_set among = 0;
};
/// Of `from`, those of the lowest rank that can take the task now, and of these the one whose turn it is by
/// weight; the one that could not take it the last time comes last. For a pinned task only its own.
std::optional<choice> choose(std::span<const submit_lane> lanes, const task& t, timestamp now,
                             lane_set from = ~lane_set{0});
/// It gets the task: the turns of the others come nearer.
void take_turn(std::span<submit_lane> lanes, const choice& c);

/// The earliest time after `now` at which some lane can take more; nullopt when only a free slot helps.
std::optional<timestamp> next_available(std::span<const submit_lane> lanes, timestamp now);

}  // namespace relay
