#pragma once

// What upstreams' callbacks say of submissions whose response was lost. A callback comes to an address with a
// secret that only the upstream was given: the job id in its body is worth one request with our own key (rule
// M13). It proves nothing: the job is adopted when what the upstream itself shows of it does not contradict,
// and no other task has it. Loop thread.

#include <string>
#include <unordered_map>
#include <unordered_set>

#include "server/metrics.hpp"
#include "server/task_changes.hpp"
#include "server/upstream/upstreams.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class named_jobs {
 public:
  named_jobs(asio::io_context& loop, store& s, task_changes& changes, upstreams& all, metrics& m,
             spdlog::logger& log);

  /// An upstream called about a task whose job is not known. False: the body names no job.
  bool named(const task& t, std::string_view body);
  /// A task was saved: what was named while its submission was under way is looked at now.
  void saved(const task& t);
  std::size_t in_flight() const { return looking_at_.size(); }

 private:
  void look(upstream& at, const std::string& task_id, std::string upstream_id);
  awaitable<> adopt(upstream& at, std::string task_id, std::string upstream_id);
  awaitable<std::string> why_not(upstream& at, const task& t, const listed_job& shown);
  upstream* find(const std::string& name) const;

  asio::io_context& loop_;
  store& store_;
  task_changes& changes_;
  upstreams& upstreams_;
  metrics& metrics_;
  spdlog::logger& log_;
  std::unordered_map<std::string, std::string> early_;  // task id to upstream id: the submission still runs
  std::unordered_set<std::string> looking_at_;          // upstream ids
};

}  // namespace relay
