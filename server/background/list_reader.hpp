#pragma once

// Reads an upstream's list over HTTP, page by page: smaller pages when one does not fit or takes too long, a
// page again when it fails. What it means is engine/matching's. Loop thread.

#include <functional>

#include "common/engine/list_walk.hpp"
#include "common/engine/matching.hpp"
#include "server/metrics.hpp"
#include "server/upstream/upstream.hpp"

namespace relay {

class list_reader {
 public:
  /// `stopped`: nothing more is to be asked.
  list_reader(asio::io_context& loop, upstream& at, metrics& m, std::function<bool()> stopped)
      : loop_(loop), at_(at), metrics_(m), stopped_(std::move(stopped)) {}

  /// Called with each page. False: nothing more has to be read.
  using on_page = std::move_only_function<awaitable<bool>(const listed_page&)>;

  /// Adds page after page to `seen`, until it ends, `f` has enough, or it has taken a quarter of an hour.
  /// Errors: upstream_unavailable, with what was tried, when a page cannot be read even after more tries.
  awaitable<result<void>> read(listing& seen, on_page f);

 private:
  struct attempt {
    result<listed_page> page;
    bool too_much = false;  // it did not fit, or was not here in time
    bool too_large = false;
  };
  awaitable<attempt> read_page(const list_walk& walk);
  awaitable<void> pause(int failures, int retry_after_seconds);

  asio::io_context& loop_;
  upstream& at_;
  metrics& metrics_;
  const std::function<bool()> stopped_;
};

}  // namespace relay
