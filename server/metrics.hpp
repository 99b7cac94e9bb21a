#pragma once

// What GET /metrics shows. prometheus-cpp keeps the numbers and writes the text; here are their names. The
// objects are thread-safe; lookups by label are cached, because a family's Add() builds a map each time.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

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
  void committed(std::size_t writes, double seconds);
  /// `outcome`: "delivered", "failed" or "given_up".
  void callback_done(std::string_view outcome);
  void set_tasks(const task_counts& counts);
  void set_overdue(std::int64_t tasks);
  void set_log_dropped(std::uint64_t lines);
  void set_disk_free(std::int64_t bytes);
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
  prometheus::Histogram& commit_seconds_;
  prometheus::Counter& commit_writes_;
  prometheus::Gauge& store_queue_;
  prometheus::Gauge& connections_;
  prometheus::Gauge& asset_files_;
  prometheus::Gauge& asset_bytes_;
  prometheus::Family<prometheus::Counter>& refused_;
  prometheus::Gauge& ambiguous_;
  prometheus::Gauge& log_dropped_;
  prometheus::Gauge& overdue_;
  prometheus::Gauge& callbacks_pending_;
  prometheus::Gauge& disk_free_;
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
