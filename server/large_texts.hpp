#pragma once

// Renderings of very large tasks: made on a thread of their own, so that they delay no other client, and only
// as many at a time as there is room for. Loop thread.

#include <boost/asio/thread_pool.hpp>
#include <list>
#include <string>

#include "common/engine/dialect.hpp"
#include "server/asio.hpp"

namespace relay {

/// A task of more bytes than this, as memory_of() counts, is a large one.
inline constexpr std::size_t large_task = 128 * 1024;

class large_texts {
 public:
  /// `most`: bytes of renderings that are kept while their clients read.
  large_texts(asio::io_context& loop, std::size_t most) : loop_(loop), most_(most) {}
  large_texts(const large_texts&) = delete;
  large_texts& operator=(const large_texts&) = delete;

  /// The right to keep a rendering of so many bytes. Given back by destruction.
  class room {
   public:
    room() = default;
    room(room&& other) noexcept
        : of_(std::exchange(other.of_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    room& operator=(room&& other) noexcept {
      std::swap(of_, other.of_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~room() {
      if (of_ != nullptr) of_->give_back(bytes_);
    }

   private:
    friend class large_texts;
    room(large_texts* of, std::size_t bytes) : of_(of), bytes_(bytes) {}
    large_texts* of_ = nullptr;
    std::size_t bytes_ = 0;
  };

  /// Waits, in turn, until there is room; one alone always has it. Who waits for a client to read gives room
  /// back first if is_short() says so.
  awaitable<room> wait_for_room(std::size_t bytes);
  bool is_short() const { return !waiting_.empty() || used_ > most_ / 2; }

  /// `how.render(t, with)` on the other thread.
  awaitable<result<std::string>> render(const task_form& how, task_ptr t, showing with);

 private:
  void give_back(std::size_t bytes);
  bool fits(std::size_t bytes) const { return used_ == 0 || used_ + bytes <= most_; }

  asio::io_context& loop_;
  const std::size_t most_;
  std::size_t used_ = 0;
  std::list<steady_timer> waiting_;
  asio::thread_pool thread_{1};
};

}  // namespace relay
