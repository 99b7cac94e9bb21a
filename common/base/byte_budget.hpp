#pragma once

// Memory that many may use together, up to a limit. One thread. Leases keep nothing alive: the budget
// outlives them.

#include <cstddef>
#include <utility>

namespace relay {

class byte_budget {
 public:
  explicit byte_budget(std::size_t most) : most_(most) {}
  byte_budget(const byte_budget&) = delete;
  byte_budget& operator=(const byte_budget&) = delete;

  /// A part of it, given back by destruction.
  class lease {
   public:
    explicit lease(byte_budget& of) : of_(&of) {}
    lease(lease&& other) noexcept : of_(other.of_), bytes_(std::exchange(other.bytes_, 0)) {}
    lease& operator=(lease&&) = delete;
    ~lease() { of_->used_ -= bytes_; }

    /// So many bytes in all from now on; false, and nothing changes, when there are not as many.
    bool hold(std::size_t bytes) {
      if (bytes > bytes_ && bytes - bytes_ > of_->most_ - of_->used_) return false;
      of_->used_ += bytes;
      of_->used_ -= std::exchange(bytes_, bytes);
      return true;
    }

   private:
    byte_budget* of_;
    std::size_t bytes_ = 0;
  };

  std::size_t used() const { return used_; }

 private:
  const std::size_t most_;
  std::size_t used_ = 0;
};

}  // namespace relay
