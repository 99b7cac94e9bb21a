#pragma once

// How much one token may have and ask for, where the operator sets a limit. Pure. One thread.

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

#include "common/base/error.hpp"
#include "common/engine/task_counts.hpp"

namespace relay {

struct token_limits {
  // 0: no limit.
  std::int64_t pending = 0;  // jobs that wait to be submitted
  std::int64_t open = 0;     // jobs that have not ended, those that wait included
  std::int64_t creates_per_minute = 0;
};

class create_limits {
 public:
  explicit create_limits(token_limits l) : limits_(l) {}
  create_limits(const create_limits&) = delete;
  create_limits& operator=(const create_limits&) = delete;

  /// A job that was let through and is not counted in the store yet. Given back by destruction.
  class place {
   public:
    place() = default;
    place(place&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)), owner_(other.owner_), waits_(other.waits_) {}
    place& operator=(place&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(owner_, other.owner_);
      std::swap(waits_, other.waits_);
      return *this;
    }
    ~place() {
      if (of_ != nullptr) of_->give_back(owner_, waits_);
    }

   private:
    friend class create_limits;
    place(create_limits* of, std::int64_t owner, bool waits) : of_(of), owner_(owner), waits_(waits) {}

    create_limits* of_ = nullptr;
    std::int64_t owner_ = 0;
    bool waits_ = false;
  };

  /// From the next create on.
  void change(token_limits l) { limits_ = l; }

  /// `counted`: what the store counts; `waits`: no upstream can take the job now. Errors: rate_limited.
  result<place> admit(std::int64_t owner, task_counts::customer counted, bool waits, timestamp now);

 private:
  void give_back(std::int64_t owner, bool waits);

  token_limits limits_;
  std::unordered_map<std::int64_t, task_counts::customer> under_way_;
  std::unordered_map<std::int64_t, std::deque<timestamp>> recent_;  // creates of the last minute
};

}  // namespace relay
