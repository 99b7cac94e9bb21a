#pragma once

// What GET /metrics shows. prometheus-cpp keeps the numbers and writes the text; here are their names. The
// objects are thread-safe; lookups by label are cached, because a family's Add() builds a map each time.

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "common/base/error.hpp"
#include "common/engine/ledger.hpp"
#include "common/engine/task_counts.hpp"

namespace relay {

class metrics {
 public:
  metrics();

  /// The names live as long as the metrics.
  void request_done(std::string_view route, int status, double seconds);
  void upstream_call(std::string_view upstream, std::string_view what, std::string_view outcome,
                     double seconds);
  /// The circuit of an upstream opened because of its account; `why`: the name of the cause.
  void circuit_opened(std::string_view upstream, std::string_view why);
  struct upstream_figures {
    std::string_view name;
    bool circuit_open = false;
    std::int64_t open_jobs = 0;
    std::int64_t limit_at_once = 0;    // configured, else learned; 0: none
    std::int64_t limit_in_minute = 0;  // the same
  };
  void set_upstream(const upstream_figures& u);
  /// What is known from the start, so that no figure begins with its first event: routes with the status of
  /// their success, kinds of jobs.
  void begin(std::span<const std::pair<std::string_view, int>> routes, std::vector<std::string> actions);
  /// A job ended; `was_late`: after it had failed.
  void job_ended(const task& t, job_outcome o, bool was_late);
  /// A row of the ledger was written.
  void booked(const ledger_entry& e);
  /// An error was answered.
  void refused(errc code);
  /// How long the job that waits longest to be submitted has waited; 0: none waits.
  void set_oldest_pending(std::chrono::seconds age);
  /// Of the accounts that have figures of their own.
  void set_account(const std::string& name, const task_counts::customer& jobs);
  /// Its name is another now, or it is none of them any more.
  void forget_account(const std::string& name);
  void account_job_ended(const std::string& name, job_outcome o);
  void committed(std::size_t writes, double seconds);
  /// `outcome`: "delivered", "failed" or "given_up".
  void callback_done(std::string_view outcome);
  struct callback_counts {
    std::uint64_t delivered = 0, failed = 0;  // attempts, so far
  };
  callback_counts callbacks() const { return callbacks_so_far_; }
  void set_tasks(const task_counts& counts);
  void set_overdue(std::int64_t tasks);
  /// All so far.
  void set_log_dropped(std::uint64_t lines);
  /// `needed`: with less than this new jobs are refused; 0: they never are for it.
  void set_disk(std::int64_t free, std::int64_t needed);
  void set_takes_jobs(bool takes);
  void set_store_queue(std::size_t writes);
  void set_connections(std::size_t open);
  void set_assets(std::size_t files, std::int64_t bytes);
  /// `reason`: "address" (too many of one) or "all".
  void connections_refused(std::string_view reason, std::uint64_t connections);

  /// The text exposition format.
  std::string text() const;
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

 private:
  struct timed {
    prometheus::Counter* count;
    prometheus::Histogram* seconds;
  };

  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Histogram>& request_seconds_;
  prometheus::Family<prometheus::Counter>& upstream_calls_;
  prometheus::Family<prometheus::Histogram>& upstream_seconds_;
  prometheus::Family<prometheus::Counter>& circuits_opened_;
  prometheus::Family<prometheus::Gauge>& circuit_open_;
  prometheus::Family<prometheus::Gauge>& open_jobs_;
  prometheus::Family<prometheus::Gauge>& limits_;
  prometheus::Family<prometheus::Gauge>& tasks_;
  prometheus::Family<prometheus::Counter>& callbacks_;
  callback_counts callbacks_so_far_;
  prometheus::Histogram& commit_seconds_;
  prometheus::Counter& commit_writes_;
  prometheus::Gauge& store_queue_;
  prometheus::Gauge& connections_;
  prometheus::Gauge& asset_files_;
  prometheus::Gauge& asset_bytes_;
  prometheus::Family<prometheus::Counter>& refused_;
  prometheus::Gauge& ambiguous_;
  prometheus::Counter& log_dropped_;
  prometheus::Gauge& overdue_;
  prometheus::Gauge& callbacks_pending_;
  prometheus::Gauge& disk_free_;
  prometheus::Gauge& disk_needed_;
  prometheus::Gauge& takes_jobs_;
  prometheus::Family<prometheus::Counter>& jobs_ended_;
  prometheus::Family<prometheus::Histogram>& job_seconds_;
  prometheus::Family<prometheus::Histogram>& wait_seconds_;
  prometheus::Gauge& oldest_pending_;
  prometheus::Family<prometheus::Counter>& refusals_;
  prometheus::Family<prometheus::Counter>& ledger_rows_;
  prometheus::Family<prometheus::Counter>& ledger_amount_;
  prometheus::Family<prometheus::Gauge>& account_jobs_;
  prometheus::Family<prometheus::Counter>& account_ended_;
  struct account_series {
    prometheus::Gauge *open, *pending;
    std::vector<prometheus::Counter*> ended;  // as job_outcome
  };
  std::unordered_map<std::string, account_series> accounts_;
  std::vector<std::string> actions_;
  std::vector<std::string> upstreams_;          // whose figures are there
  std::vector<prometheus::Counter*> by_error_;  // as errc
  /// Labels that are the same texts at the same places each time, and the figures they name.
  template <class Labels>
  struct known {
    Labels labels;
    timed figures;
  };
  struct route_labels {
    const char* route;
    int status;
    bool operator==(const route_labels&) const = default;
  };
  struct call_labels {
    const char* upstream;
    const char* what;
    const char* outcome;
    bool operator==(const call_labels&) const = default;
  };
  // Loop thread; a few dozen at most, and those that come most come early.
  std::vector<known<route_labels>> by_route_;
  std::vector<known<call_labels>> by_upstream_;
};

}  // namespace relay
