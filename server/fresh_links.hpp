#pragma once

// The links of a result work for a time only. When a completed job is read after it, its upstream is asked
// for the job once more, and the new links are saved: once for all that read it, and no reader waits long.
// Loop thread.

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/lru.hpp"
#include "server/asio.hpp"
#include "server/metrics.hpp"
#include "server/task_changes.hpp"
#include "server/upstream/upstreams.hpp"

namespace relay {

class fresh_links {
 public:
  fresh_links(asio::io_context& loop, task_changes& changes, const upstreams& all, metrics& m,
              spdlog::logger& log)
      : loop_(loop), changes_(changes), upstreams_(all), metrics_(m), log_(log) {}

  /// The links have ended, or are about to.
  static bool needed(const task& t);
  /// Asks for them, if that is needed, was not tried of late, and polls_per_second leaves room. Does not
  /// wait.
  void begin(const task& t);
  /// The task with links that work, if its upstream names such before `until`; else as it is.
  awaitable<task_ptr> of(task_ptr t, steady_clock::time_point until);

  /// A reader waits no longer than this, whatever it reads.
  static constexpr std::chrono::seconds longest_wait{1};
  static constexpr std::size_t most_at_once = 32;

 private:
  struct renewal {
    std::vector<steady_timer*> readers;  // cancelled at its end
    task_ptr newest;                     // null: there are no other links
  };
  awaitable<> renew(std::shared_ptr<renewal> r, std::string id, upstream* at, std::string upstream_id);
  awaitable<task_ptr> ask(std::string id, upstream* at, std::string upstream_id);

  asio::io_context& loop_;
  task_changes& changes_;
  const upstreams& upstreams_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::unordered_map<std::string, std::shared_ptr<renewal>> running_;
  // What failed of late.
  struct tried {
    steady_clock::time_point not_before;  // it is not asked again
    bool not_found = false;               // the upstream said that it does not know the job
  };
  lru<tried> tried_{std::size_t{1} << 20};
};

}  // namespace relay
