#pragma once

// How much an account, and each of its tokens, may have and ask for. Pure. One thread.

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/base/error.hpp"
#include "common/engine/task_counts.hpp"

namespace relay {

/// 0: no limit.
struct customer_limits {
  std::int64_t pending = 0;  // jobs that wait to be submitted
  std::int64_t open = 0;     // jobs that have not ended, those that wait included
  std::int64_t creates_per_minute = 0;
  std::int64_t requests_per_minute = 0;
  std::int64_t batch = 0;  // ids of one batch

  friend bool operator==(const customer_limits&, const customer_limits&) = default;
};

/// What an operator has said for one account or one token; nullopt: nothing. For an account what the
/// configuration says is in its place, for a token nothing: it has those of its account all the same.
struct own_limits {
  std::optional<std::int64_t> pending, open, creates_per_minute, requests_per_minute, batch;

  customer_limits over(const customer_limits& usual) const;
  friend bool operator==(const own_limits&, const own_limits&) = default;
};

/// What each is called for an operator: in commands, and in the account's own table.
struct limit_name {
  const char* name;
  std::optional<std::int64_t> own_limits::* of;
};
inline constexpr std::array<limit_name, 5> limit_names{
    {{"pending", &own_limits::pending},
     {"open", &own_limits::open},
     {"creates_per_minute", &own_limits::creates_per_minute},
     {"requests_per_minute", &own_limits::requests_per_minute},
     {"batch", &own_limits::batch}}};
inline constexpr std::int64_t max_limit = 1'000'000'000;

/// An account or a token, as a create is counted for it.
struct limited {
  std::int64_t id = 0;
  customer_limits limits;
  task_counts::customer counted;  // what the store counts
};

class create_limits {
 public:
  create_limits() = default;
  create_limits(const create_limits&) = delete;
  create_limits& operator=(const create_limits&) = delete;

  /// A job that was let through and is not counted in the store yet. Given back by destruction.
  class place {
   public:
    place() = default;
    place(place&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)),
          account_(other.account_),
          token_(other.token_),
          waits_(other.waits_) {}
    place& operator=(place&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(account_, other.account_);
      std::swap(token_, other.token_);
      std::swap(waits_, other.waits_);
      return *this;
    }
    ~place() {
      if (of_ != nullptr) of_->give_back(account_, token_, waits_);
    }

   private:
    friend class create_limits;
    place(create_limits* of, std::int64_t account, std::int64_t token, bool waits)
        : of_(of), account_(account), token_(token), waits_(waits) {}

    create_limits* of_ = nullptr;
    std::int64_t account_ = 0, token_ = 0;
    bool waits_ = false;
  };

  /// `waits`: no upstream can take the job now. Errors: rate_limited, and then it counts for nothing.
  result<place> admit(const limited& account, const limited& token, bool waits, timestamp now);

 private:
  struct customer {
    task_counts::customer under_way;
    std::deque<timestamp> recent;  // creates of the last minute, when there is a limit on them
  };
  using customers = std::unordered_map<std::int64_t, customer>;
  static result<void> check(customers& all, const limited& one, std::string_view who, bool waits,
                            timestamp now);
  static void count(customers& all, const limited& one, bool waits, timestamp now);
  static void forget(customers& all, std::int64_t id, bool waits);
  void give_back(std::int64_t account, std::int64_t token, bool waits);

  customers accounts_, tokens_;
};

/// Requests in any minute, to the second.
class request_limit {
 public:
  struct verdict {
    bool admitted = true;
    std::int64_t left = 0;
    std::int64_t reset_s =
        0;  // until all that was counted is forgotten, or, when refused, one more is let through
  };
  /// Whether one more than `per_minute` has room; `counts`: it is counted if it has.
  verdict admit(std::int64_t id, std::int64_t per_minute, bool counts, timestamp now);

 private:
  // One more second than a minute has: no minute, wherever it begins, gets more than the limit.
  static constexpr std::int64_t seconds = 61;
  struct window {
    std::int64_t newest = 0;  // second since the epoch
    std::int64_t sum = 0;
    std::array<std::uint32_t, seconds> of_second{};
  };
  std::unordered_map<std::int64_t, window> windows_;
};

/// Of accounts and of their tokens, beside each other.
class request_limits {
 public:
  struct asking {
    std::int64_t id = 0;
    std::int64_t per_minute = 0;  // 0: no limit
  };
  struct verdict {
    request_limit::verdict of;  // of the narrower limit
    std::int64_t limit = 0;     // 0: there is none
    bool is_tokens = false;
  };
  /// What either of them refuses counts for neither.
  verdict admit(asking account, asking token, bool counts, timestamp now);

 private:
  request_limit accounts_, tokens_;
};

}  // namespace relay
