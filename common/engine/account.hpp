#pragma once

// A customer of the relay. Its jobs, their ids, its lists and its idempotency keys are seen by all of its
// tokens, and by no other account.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/secret.hpp"
#include "common/base/time.hpp"
#include "common/engine/customer_limits.hpp"

namespace relay {

inline constexpr std::size_t max_account_name = 64;
inline constexpr std::size_t max_account_note = 1'000;
inline constexpr std::size_t max_account_contact = 200;
inline constexpr int max_account_weight = 1'000;
inline constexpr std::size_t max_account_models = 100;

/// A row of the account table.
struct account {
  std::int64_t id = 0;  // owner of tasks
  std::string name;     // unique
  std::string note;     // these two are the operator's own
  std::string contact;
  bool enabled = true;  // else its tokens are refused
  secret webhook;       // signs the callbacks of its tasks; bytes
  int weight = 1;       // jobs that go out in one turn of the accounts
  own_limits limits;
  std::vector<std::string> actions;  // the kinds of jobs that it may create; empty: all
  std::vector<std::string> models;   // patterns of the models that it may use; empty: all
  bool prepaid = false;              // creates what its balance covers; else its balance may go below zero
  std::string group;                 // by whose factor its prices are multiplied; empty: by none
  timestamp created_at;
  std::int64_t revision = 0;  // compare-and-set: the store adds one at each save

  friend bool operator==(const account&, const account&) = default;
};

using account_ptr = std::shared_ptr<const account>;

/// Letters, digits and `._-@`, 1 to max_account_name characters; not "." and "..", which mean other things in
/// a path.
bool valid_account_name(std::string_view name);

}  // namespace relay
