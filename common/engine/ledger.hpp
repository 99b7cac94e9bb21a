#pragma once

// What a change of a task means in money, and in the counts of what was done. Pure: it is computed from the
// task before and after, and the store writes it in the transaction of the change, or not at all. So each job
// has at most one row of a kind, whatever is repeated, and whenever a process ends.
//
// An account has a balance, and of it something may be held: what it can spend is the rest.
//
//   topup, adjust  an operator puts something in, or corrects: the balance changes
//   hold           a job was recorded: its price is held
//   charge         it is completed: what was held for it leaves the balance
//   release        it failed: what was held for it is free again
//   charge, after a release   it turned out to be completed after all: its price leaves the balance

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/money.hpp"
#include "common/engine/task.hpp"

namespace relay {

enum class ledger_kind : std::uint8_t { topup, hold, charge, release, adjust };

inline constexpr ledger_kind all_ledger_kinds[] = {ledger_kind::topup, ledger_kind::hold, ledger_kind::charge,
                                                   ledger_kind::release, ledger_kind::adjust};
std::string_view name_of(ledger_kind k);
std::optional<ledger_kind> ledger_kind_from(std::string_view name);

/// A row of the ledger, as it is to be written.
struct ledger_entry {
  ledger_kind kind = ledger_kind::topup;
  std::int64_t account = 0;
  money amount;         // by which the balance changes
  money held;           // by which what is held changes
  money cost;           // of a charge: what the upstream takes for the job, as configured
  std::string task_id;  // empty: it is of no job
  std::int64_t token = 0;
  std::string upstream, upstream_id;
  std::string request_id;  // of the create
  std::string note;        // the operator's
  std::string made_by;     // who did it; empty: the relay itself
  timestamp at;
  /// An account that pays in advance must have so much left, else nothing is written.
  bool must_be_covered = false;

  friend bool operator==(const ledger_entry&, const ledger_entry&) = default;
};

/// What an account has.
struct account_balance {
  money balance;
  money held;
  money left() const { return balance - held; }

  friend bool operator==(const account_balance&, const account_balance&) = default;
};

/// A row as it was written.
struct ledger_row {
  std::int64_t id = 0;  // rises
  ledger_entry entry;
  account_balance after;
};

/// How a job ended, for the counts.
enum class job_outcome : std::uint8_t { completed, failed, refused };
inline constexpr job_outcome all_job_outcomes[] = {job_outcome::completed, job_outcome::failed,
                                                   job_outcome::refused};
std::string_view name_of(job_outcome o);
/// nullopt: it has not ended. `refused`: the upstream refused the request itself.
std::optional<job_outcome> outcome_of(const task& t);

/// What is counted together, and what a change of a task adds to it.
struct usage_entry {
  std::int32_t day = 0;  // of its end, in UTC, since 1970-01-01
  std::int64_t account = 0, token = 0;
  std::string action, model, upstream;
  job_outcome outcome = job_outcome::completed;
  // What is added; below 0: taken back.
  std::int64_t jobs = 0;
  money amount;          // what the account pays
  money cost;            // what the upstream takes
  milliseconds wait{0};  // from being created to being accepted upstream
  milliseconds run{0};   // from then to the end

  friend bool operator==(const usage_entry&, const usage_entry&) = default;
};

/// The rows of one change.
struct booking {
  std::optional<ledger_entry> ledger;
  std::vector<usage_entry> usage;
  bool empty() const { return !ledger && usage.empty(); }

  friend bool operator==(const booking&, const booking&) = default;
};

/// What the relay knows of a job beside the task.
struct booking_facts {
  money cost;                // of its upstream, for a job that is completed
  std::string_view model;    // its own name
  bool charges_late = true;  // what is completed after it failed is charged
};

/// True if the change writes anything: cheap, and asked with every change of a task.
bool calls_for_booking(const task* before, const task& after);
/// `before`: null for a new task. What is already so in `before` is never booked again.
booking booking_of(const task* before, const task& after, const booking_facts& facts);

std::int32_t day_of(timestamp t);

}  // namespace relay
