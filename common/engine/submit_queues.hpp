#pragma once

// The jobs that wait to be submitted: one queue for each customer and place they must go to, served in turn,
// so that one customer's burst delays no other's next job, and jobs for an upstream that takes none delay
// none for another. The rows stay on disk; here is what was read of the head of each queue. Pure. One
// thread.

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/time.hpp"
#include "common/engine/submit_lane.hpp"

namespace relay {

/// Whose jobs, and the one upstream that can take them; empty: any that serves them.
struct submit_queue {
  std::int64_t owner = 0;
  std::string pinned_to;

  friend auto operator<=>(const submit_queue&, const submit_queue&) = default;
};

class submit_queues {
 public:
  /// `weight_of`: how many jobs of an owner go out in one turn.
  explicit submit_queues(std::function<int(std::int64_t)> weight_of = [](std::int64_t) { return 1; })
      : weight_of_(std::move(weight_of)) {}

  /// A job's place in its queue: jobs go in the order of these.
  struct place {
    timestamp at;  // not before
    std::string task_id;

    friend auto operator<=>(const place&, const place&) = default;
  };
  struct waiting {
    submit_queue queue;
    place where;
    lane_set lanes;  // that could take it
  };

  /// Nothing was read: open() says again what there is. Turns stay as they are.
  void start_over();
  /// There are jobs of this queue on disk, of which nothing was read yet.
  void open(const submit_queue& q);
  /// A job was saved as one that waits; one that is there already is there once. What is beyond the part
  /// that was read is left to be read.
  void add(const submit_queue& q, place where, lane_set lanes);

  /// The queue that must be read on before next() can tell: none of its jobs that were read may go now, and
  /// the disk has more that may. The place to read on from is read_to(). At most `most_read` jobs are kept.
  std::optional<submit_queue> to_read(timestamp now, lane_set free) const;
  place read_to(const submit_queue& q) const;
  /// A page is being read: what is added meanwhile is kept, wherever its place is.
  void begin_reading(const submit_queue& q);
  /// The page ended at `last`; `more`: the disk has more. The jobs of it were added.
  void end_reading(const submit_queue& q, const place& last, bool more);

  /// Takes out the next job that is due and that one of `free` could take: of the customer whose last turn
  /// was longest ago, the one that waits longest.
  std::optional<waiting> next(timestamp now, lane_set free);
  /// It goes out: its customer's turn is over, if it had as many jobs in it as it weighs. One that does not
  /// wait any more, having been cancelled or having failed since it was read, costs no turn.
  void end_turn(const waiting& w);
  /// The lanes that due jobs wait for, as far as it is known.
  lane_set wanted(timestamp now) const;
  /// The earliest time after `now` at which a job becomes due; nullopt: none.
  std::optional<timestamp> next_due(timestamp now) const;

  static constexpr std::size_t most_read = 16'384;

 private:
  struct queue {
    std::map<lane_set, std::set<place>> waiting;  // jobs that the same lanes could take
    std::size_t size = 0;
    place read;                     // what is before it was read
    lane_set lanes = ~lane_set{0};  // that its jobs are for; all, until some were read
    bool more = false;              // the disk has more than was read
    bool reading = false;
    bool has_due(timestamp now, lane_set free) const;
  };
  struct turn {
    std::uint64_t number = 0;  // 0: it had none
    std::int64_t owner = 0;

    friend auto operator<=>(const turn&, const turn&) = default;
  };
  queue& queue_named(const submit_queue& name);
  void forget_if_empty(std::map<submit_queue, queue>::iterator q);
  turn last_turn_of(std::int64_t owner) const;
  bool has_queues(std::int64_t owner) const;

  std::map<submit_queue, queue> queues_;
  struct turns {
    std::uint64_t last = 0;
    int jobs = 0;  // that have gone out in the one it has now
  };
  std::function<int(std::int64_t)> weight_of_;
  std::unordered_map<std::int64_t, turns> turns_;  // of each owner that had one
  std::uint64_t turns_so_far_ = 0;
  std::set<turn> order_;  // the last turns of those that have queues
};

}  // namespace relay
