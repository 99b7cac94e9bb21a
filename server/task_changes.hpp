#pragma once

// The one way to change a task that exists: an event is put on its newest revision and saved; when another
// change was quicker, on top of that one. Loop thread.

#include <functional>
#include <string>

#include "common/engine/lifecycle.hpp"
#include "server/asio.hpp"
#include "server/billing.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

/// A task before and after an event; the same task twice when the event meant nothing to it.
struct applied {
  task_ptr before;
  task_ptr after;
  bool changed() const { return before != after; }
};

class task_changes {
 public:
  task_changes(asio::io_context& loop, store& s, const policy& p, const billing& b, spdlog::logger& log)
      : loop_(loop), store_(s), policy_(p), billing_(b), log_(log) {}

  /// Called after a change that had something to book is on disk.
  std::function<void(const task& before, const task& after, const booking&)> on_booked =
      [](const task&, const task&, const booking&) {};

  /// Errors: task_not_found when it is no longer there, those of the store but conflict.
  /// `why`: the row that says which operator asks for it; null: none does.
  using audit_of = std::function<audit_ptr(const task& before, const task& after)>;
  awaitable<result<applied>> apply(std::string id, task_event e, audit_of why = nullptr);

  /// Tries again each second until the disk takes it, or the relay gives up at the end of its grace: for what
  /// would be lost otherwise. Errors: as apply, after the end of the grace; task_not_found.
  awaitable<result<applied>> apply_surely(std::string id, task_event e);

  /// The grace is over: what the disk will not take is given up.
  void abandon() { abandoned_ = true; }
  const policy& limits() const { return policy_; }

 private:
  asio::io_context& loop_;
  store& store_;
  const policy policy_;
  const billing& billing_;
  spdlog::logger& log_;
  bool abandoned_ = false;
};

}  // namespace relay
