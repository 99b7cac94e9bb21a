#pragma once

// Finds out what became of submissions whose response was lost: reads the upstream's list and lets
// engine/matching say which job is ours. One reading of a list serves all tasks that are due there. Loop
// thread.

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/engine/matching.hpp"
#include "server/background/named_jobs.hpp"
#include "server/background/wake_timer.hpp"
#include "server/metrics.hpp"
#include "server/task_changes.hpp"
#include "server/upstream/upstreams.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class reconciler {
 public:
  reconciler(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, metrics& m,
             spdlog::logger& log);

  /// Until stop().
  awaitable<> run();
  void stop();
  /// A task was saved: wakes run() when it is due, and may be what a list must show.
  void saved(const task& t);
  /// The upstream called about this task: it is worth a lookup now. `body`: what it sent.
  void hint(const task& t, std::string_view body);
  std::size_t in_flight() const { return reading_.size() + named_.in_flight(); }

 private:
  using tasks = std::vector<task_ptr>;

  awaitable<> look_up_due(timestamp time);
  void start_lookups(std::map<std::string, tasks> by_upstream);
  awaitable<> look_up(std::string upstream_name, tasks due);
  awaitable<> look_up_at(upstream* at, tasks due);
  awaitable<> fail_lookups(const tasks& due, event::lookup_failed e, std::string_view upstream_name);
  awaitable<std::vector<lost_submission>> submissions(upstream& at, const tasks& of);
  awaitable<bool> take_page(const listed_page& page, const listing& seen, tasks& due,
                            std::string_view upstream_name);
  awaitable<> adopt_marked(const listed_page& page, tasks& due, std::string_view upstream_name);
  awaitable<> match(upstream& at, const listing& seen, const tasks& due);
  awaitable<std::unordered_set<std::string>> known_jobs(const upstream& at, const listing& seen,
                                                        const tasks& submitting);
  void note_accepted(const task& t);
  awaitable<> settle(std::string id, task_event e, std::string_view upstream_name);

  asio::io_context& loop_;
  store& store_;
  task_changes& changes_;
  upstreams& upstreams_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::unordered_set<std::string> reading_;  // upstreams whose list is being read
  std::unordered_set<std::string> hinted_;   // tasks whose upstream called
  std::unordered_set<std::string> called_;   // the same, after that is in their story
  // Upstreams whose list has echoed a callback URL of ours: there a job without one is not ours.
  std::unordered_set<std::string> echo_markers_;
  // Jobs accepted while some submission there is lost, by upstream: what a list must show to be fresh (rule
  // M10).
  struct accepted_jobs {
    std::deque<witness> jobs;  // in the order they came, bounded
    std::unordered_set<std::string> ids;
  };
  std::unordered_map<std::string, accepted_jobs> accepted_;
  named_jobs named_;
  wake_timer wake_;
  bool stopped_ = false;
};

}  // namespace relay
