#include "server/metrics.hpp"

#include <prometheus/text_serializer.h>

#include <algorithm>

namespace relay {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

const prometheus::Histogram::BucketBoundaries request_buckets{
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

}  // namespace

metrics::metrics()
    : requests_(BuildCounter()
                    .Name("luma_relay_requests_total")
                    .Help("Requests by route and status")
                    .Register(registry_)),
      request_seconds_(BuildHistogram()
                           .Name("luma_relay_request_seconds")
                           .Help("From the whole request head to the last byte of the response")
                           .Register(registry_)),
      upstream_calls_(BuildCounter()
                          .Name("luma_relay_upstream_calls_total")
                          .Help("Calls to upstreams by outcome")
                          .Register(registry_)),
      upstream_seconds_(BuildHistogram()
                            .Name("luma_relay_upstream_call_seconds")
                            .Help("Time of a call to an upstream")
                            .Register(registry_)),
      circuits_opened_(BuildCounter()
                           .Name("luma_relay_upstream_circuits_opened_total")
                           .Help("How often an upstream's circuit opened because of its account, by cause")
                           .Register(registry_)),
      circuit_open_(BuildGauge()
                        .Name("luma_relay_upstream_circuit_open")
                        .Help("1 while an upstream gets no jobs: its key was refused, it is out of credits, "
                              "cannot be reached, or lost a response")
                        .Register(registry_)),
      open_jobs_(BuildGauge()
                     .Name("luma_relay_upstream_open_jobs")
                     .Help("Jobs that an upstream has, or may have")
                     .Register(registry_)),
      limits_(
          BuildGauge()
              .Name("luma_relay_upstream_limit")
              .Help("Jobs an upstream takes at once and in a minute, as configured, else as learned; 0: no "
                    "limit is known")
              .Register(registry_)),
      tasks_(BuildGauge().Name("luma_relay_tasks").Help("Tasks on disk by state").Register(registry_)),
      callbacks_(BuildCounter()
                     .Name("luma_relay_callbacks_total")
                     .Help("Attempts at callbacks to clients by outcome; given_up counts callbacks that were "
                           "never delivered")
                     .Register(registry_)),
      commit_seconds_(BuildHistogram()
                          .Name("luma_relay_store_commit_seconds")
                          .Help("Time of a transaction")
                          .Register(registry_)
                          .Add({}, request_buckets)),
      commit_writes_(BuildCounter()
                         .Name("luma_relay_store_writes_total")
                         .Help("Writes that were committed")
                         .Register(registry_)
                         .Add({})),
      store_queue_(BuildGauge()
                       .Name("luma_relay_store_queue")
                       .Help("Writes that wait for the disk")
                       .Register(registry_)
                       .Add({})),
      connections_(BuildGauge()
                       .Name("luma_relay_connections")
                       .Help("Open client connections")
                       .Register(registry_)
                       .Add({})),
      asset_files_(BuildGauge()
                       .Name("luma_relay_asset_files")
                       .Help("Files of clients that are kept for upstreams to fetch")
                       .Register(registry_)
                       .Add({})),
      asset_bytes_(BuildGauge()
                       .Name("luma_relay_asset_bytes")
                       .Help("What those, and the ones that are being received, take")
                       .Register(registry_)
                       .Add({})),
      refused_(
          BuildCounter()
              .Name("luma_relay_connections_refused_total")
              .Help("Client connections that were closed at once, because one address or all had too many")
              .Register(registry_)),
      ambiguous_(BuildGauge()
                     .Name("luma_relay_tasks_ambiguous")
                     .Help("Submissions whose response was lost and which are being looked up upstream")
                     .Register(registry_)
                     .Add({})),
      log_dropped_(
          BuildGauge()
              .Name("luma_relay_log_dropped_lines")
              .Help("Log lines that were dropped because nobody read the log, or could not be written")
              .Register(registry_)
              .Add({})),
      overdue_(BuildGauge()
                   .Name("luma_relay_tasks_overdue")
                   .Help("Open jobs that should have been polled more than a minute ago")
                   .Register(registry_)
                   .Add({})),
      callbacks_pending_(BuildGauge()
                             .Name("luma_relay_callbacks_pending")
                             .Help("Tasks with a callback that was not delivered yet")
                             .Register(registry_)
                             .Add({})),
      disk_free_(BuildGauge()
                     .Name("luma_relay_disk_free_bytes")
                     .Help("Free space on the database's disk")
                     .Register(registry_)
                     .Add({})) {}

void metrics::callback_done(std::string_view outcome) {
  callbacks_.Add({{"outcome", std::string(outcome)}}).Increment();
}

void metrics::request_done(std::string_view route, int status, double seconds) {
  const route_labels labels{route.data(), status};
  auto found = std::ranges::find(by_route_, labels, &known<route_labels>::labels);
  if (found == by_route_.end()) {
    const timed figures{&requests_.Add({{"route", std::string(route)}, {"status", std::to_string(status)}}),
                        &request_seconds_.Add({{"route", std::string(route)}}, request_buckets)};
    found = by_route_.insert(by_route_.end(), {labels, figures});
  }
  found->figures.count->Increment();
  found->figures.seconds->Observe(seconds);
}

void metrics::upstream_call(std::string_view upstream, std::string_view what, std::string_view outcome,
                            double seconds) {
  const call_labels labels{upstream.data(), what.data(), outcome.data()};
  auto found = std::ranges::find(by_upstream_, labels, &known<call_labels>::labels);
  if (found == by_upstream_.end()) {
    const std::string name(upstream);
    const std::string call(what);
    const timed figures{
        &upstream_calls_.Add({{"upstream", name}, {"call", call}, {"outcome", std::string(outcome)}}),
        &upstream_seconds_.Add({{"upstream", name}, {"call", call}}, request_buckets)};
    found = by_upstream_.insert(by_upstream_.end(), {labels, figures});
  }
  found->figures.count->Increment();
  found->figures.seconds->Observe(seconds);
}

void metrics::circuit_opened(std::string_view upstream, std::string_view why) {
  circuits_opened_.Add({{"upstream", std::string(upstream)}, {"cause", std::string(why)}}).Increment();
}

void metrics::set_upstream(const upstream_figures& u) {
  const std::string name(u.name);
  for (const char* why : {"key_refused", "no_credits"})  // there from the start
    circuits_opened_.Add({{"upstream", name}, {"cause", why}});
  circuit_open_.Add({{"upstream", name}}).Set(u.circuit_open ? 1 : 0);
  open_jobs_.Add({{"upstream", name}}).Set(static_cast<double>(u.open_jobs));
  limits_.Add({{"upstream", name}, {"of", "at_once"}}).Set(static_cast<double>(u.limit_at_once));
  limits_.Add({{"upstream", name}, {"of", "in_minute"}}).Set(static_cast<double>(u.limit_in_minute));
}

void metrics::committed(std::size_t writes, double seconds) {
  commit_writes_.Increment(static_cast<double>(writes));
  commit_seconds_.Observe(seconds);
}

void metrics::set_tasks(const task_counts& counts) {
  for (const task_state s : all_states)
    tasks_.Add({{"state", std::string(name_of(s))}}).Set(static_cast<double>(counts[s]));
  ambiguous_.Set(static_cast<double>(counts.ambiguous));
  callbacks_pending_.Set(static_cast<double>(counts.callbacks_pending));
}

void metrics::set_overdue(std::int64_t tasks) {
  overdue_.Set(static_cast<double>(tasks));
}
void metrics::set_log_dropped(std::uint64_t lines) {
  log_dropped_.Set(static_cast<double>(lines));
}
void metrics::set_disk_free(std::int64_t bytes) {
  disk_free_.Set(static_cast<double>(bytes));
}
void metrics::set_store_queue(std::size_t writes) {
  store_queue_.Set(static_cast<double>(writes));
}
void metrics::connections_refused(std::string_view reason, std::uint64_t connections) {
  refused_.Add({{"reason", std::string(reason)}}).Increment(static_cast<double>(connections));
}
void metrics::set_connections(std::size_t open) {
  connections_.Set(static_cast<double>(open));
}

void metrics::set_assets(std::size_t files, std::int64_t bytes) {
  asset_files_.Set(static_cast<double>(files));
  asset_bytes_.Set(static_cast<double>(bytes));
}

std::string metrics::text() const {
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

}  // namespace relay
