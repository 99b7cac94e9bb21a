#include "server/metrics.hpp"

#include <cmath>

#include <prometheus/text_serializer.h>

#include "server/process_figures.hpp"

#include <algorithm>

namespace relay {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

const prometheus::Histogram::BucketBoundaries request_buckets{
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
const prometheus::Histogram::BucketBoundaries job_buckets{1,  2,   5,   10,  20,  30,  45,   60,
                                                          90, 120, 180, 300, 600, 900, 1800, 3600};

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
          BuildCounter()
              .Name("luma_relay_log_dropped_lines_total")
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
                     .Add({})),
      disk_needed_(
          BuildGauge()
              .Name("luma_relay_disk_needed_bytes")
              .Help("With less free than this new jobs are refused: storage.min_free_bytes, what open "
                    "jobs may still write, and the rest of the log's length")
              .Register(registry_)
              .Add({})),
      takes_jobs_(
          BuildGauge()
              .Name("luma_relay_takes_jobs")
              .Help("1 while new jobs are accepted: it does not stop, the disk has room, the database "
                    "can be written")
              .Register(registry_)
              .Add({})),
      jobs_ended_(BuildCounter()
                      .Name("luma_relay_jobs_ended_total")
                      .Help("Jobs that ended, by outcome: completed, failed, refused by the upstream, or "
                            "completed_late after they had failed")
                      .Register(registry_)),
      job_seconds_(BuildHistogram()
                       .Name("luma_relay_job_seconds")
                       .Help("Time of a job from being accepted upstream to its end")
                       .Register(registry_)),
      wait_seconds_(
          BuildHistogram()
              .Name("luma_relay_job_wait_seconds")
              .Help("Time of a job from being created to being accepted upstream; of those that were")
              .Register(registry_)),
      oldest_pending_(
          BuildGauge()
              .Name("luma_relay_oldest_pending_seconds")
              .Help("How long the job that waits longest to be submitted has waited; 0: none waits")
              .Register(registry_)
              .Add({})),
      refusals_(BuildCounter()
                    .Name("luma_relay_refusals_total")
                    .Help("Requests that were answered with an error, by its code")
                    .Register(registry_)),
      ledger_rows_(BuildCounter()
                       .Name("luma_relay_ledger_rows_total")
                       .Help("Rows of the ledger by kind")
                       .Register(registry_)),
      ledger_amount_(BuildCounter()
                         .Name("luma_relay_ledger_amount_total")
                         .Help("What they moved, in units of the currency: for a hold and a release what is "
                               "held, else the balance; without its sign")
                         .Register(registry_)),
      account_jobs_(BuildGauge()
                        .Name("luma_relay_account_jobs")
                        .Help("Jobs of an account that have not ended, and of them those that wait to be "
                              "submitted; see admin.metrics_accounts")
                        .Register(registry_)),
      account_ended_(BuildCounter()
                         .Name("luma_relay_account_jobs_ended_total")
                         .Help("Jobs of an account that ended, by outcome; see admin.metrics_accounts")
                         .Register(registry_)) {
  for (const ledger_kind k : all_ledger_kinds) {
    ledger_rows_.Add({{"kind", std::string(name_of(k))}});
    ledger_amount_.Add({{"kind", std::string(name_of(k))}});
  }
  for (const char* outcome : {"delivered", "failed", "given_up"}) callbacks_.Add({{"outcome", outcome}});
  for (const char* reason : {"address", "all"}) refused_.Add({{"reason", reason}});
  for (std::size_t i = 0; i <= static_cast<std::size_t>(errc::version_not_supported); ++i) {
    const std::string code(info(static_cast<errc>(i)).code);
    by_error_.push_back(&refusals_.Add({{"reason", code}}));
  }
  BuildGauge()
      .Name("luma_relay_build_info")
      .Help("1; its labels say what runs")
      .Register(registry_)
      .Add({{"version", RELAY_VERSION}})
      .Set(1);
}

void metrics::begin(std::span<const std::pair<std::string_view, int>> routes,
                    std::vector<std::string> actions) {
  for (const auto& [route, status] : routes) {
    requests_.Add({{"route", std::string(route)}, {"status", std::to_string(status)}});
    request_seconds_.Add({{"route", std::string(route)}}, request_buckets);
  }
  actions_ = std::move(actions);
  for (const std::string& action : actions_) {
    job_seconds_.Add({{"action", action}}, job_buckets);
    wait_seconds_.Add({{"action", action}}, job_buckets);
  }
}

void metrics::job_ended(const task& t, job_outcome o, bool was_late) {
  const std::string action(t.action->name);
  const std::string outcome = was_late ? "completed_late" : std::string(name_of(o));
  jobs_ended_.Add({{"outcome", outcome}, {"action", action}, {"upstream", t.upstream}}).Increment();
  if (was_late || !is_set(t.started_at)) return;
  const auto seconds = [](timestamp from, timestamp to) {
    return std::max(0.0, std::chrono::duration<double>(to - from).count());
  };
  job_seconds_.Add({{"action", action}}, job_buckets).Observe(seconds(t.started_at, t.finished_at));
  wait_seconds_.Add({{"action", action}}, job_buckets).Observe(seconds(t.created_at, t.started_at));
}

void metrics::booked(const ledger_entry& e) {
  const money moved = e.amount != money{} ? e.amount : e.held;
  const std::string kind(name_of(e.kind));
  ledger_rows_.Add({{"kind", kind}}).Increment();
  ledger_amount_.Add({{"kind", kind}})
      .Increment(std::abs(static_cast<double>(moved.millionths)) / static_cast<double>(millionths_of_unit));
}

void metrics::refused(errc code) {
  by_error_[static_cast<std::size_t>(code)]->Increment();
}

void metrics::set_oldest_pending(std::chrono::seconds age) {
  oldest_pending_.Set(static_cast<double>(age.count()));
}

void metrics::set_account(const std::string& name, const task_counts::customer& jobs) {
  auto found = accounts_.find(name);
  if (found == accounts_.end()) {
    account_series made{&account_jobs_.Add({{"account", name}, {"state", "open"}}),
                        &account_jobs_.Add({{"account", name}, {"state", "pending"}}),
                        {}};
    for (const job_outcome o : all_job_outcomes)
      made.ended.push_back(&account_ended_.Add({{"account", name}, {"outcome", std::string(name_of(o))}}));
    found = accounts_.emplace(name, std::move(made)).first;
  }
  found->second.open->Set(static_cast<double>(jobs.open));
  found->second.pending->Set(static_cast<double>(jobs.pending));
}

void metrics::forget_account(const std::string& name) {
  const auto found = accounts_.find(name);
  if (found == accounts_.end()) return;
  account_jobs_.Remove(found->second.open);
  account_jobs_.Remove(found->second.pending);
  for (prometheus::Counter* c : found->second.ended) account_ended_.Remove(c);
  accounts_.erase(found);
}

void metrics::account_job_ended(const std::string& name, job_outcome o) {
  const auto found = accounts_.find(name);
  if (found != accounts_.end()) found->second.ended[static_cast<std::size_t>(o)]->Increment();
}

void metrics::callback_done(std::string_view outcome) {
  callbacks_.Add({{"outcome", std::string(outcome)}}).Increment();
  callbacks_so_far_.delivered += outcome == "delivered";
  callbacks_so_far_.failed += outcome == "failed";
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
  if (std::ranges::find(upstreams_, name) == upstreams_.end()) {  // there from the start
    upstreams_.push_back(name);
    for (const char* why : {"key_refused", "no_credits"})
      circuits_opened_.Add({{"upstream", name}, {"cause", why}});
    const std::pair<const char*, const char*> calls[] = {
        {"create", "accepted"}, {"create", "rejected"}, {"create", "unavailable"},
        {"create", "unknown"},  {"poll", "ok"},         {"poll", "not_found"},
        {"poll", "error"},      {"list", "ok"},         {"list", "error"}};
    for (const auto& [call, outcome] : calls) {
      upstream_calls_.Add({{"upstream", name}, {"call", call}, {"outcome", outcome}});
      upstream_seconds_.Add({{"upstream", name}, {"call", call}}, request_buckets);
    }
    for (const std::string& action : actions_) {
      for (const char* outcome : {"completed", "failed", "refused", "completed_late"})
        jobs_ended_.Add({{"outcome", outcome}, {"action", action}, {"upstream", name}});
    }
  }
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
  log_dropped_.Increment(std::max(0.0, static_cast<double>(lines) - log_dropped_.Value()));
}
void metrics::set_disk(std::int64_t free, std::int64_t needed) {
  disk_free_.Set(static_cast<double>(free));
  disk_needed_.Set(static_cast<double>(needed));
}
void metrics::set_takes_jobs(bool takes) {
  takes_jobs_.Set(takes ? 1 : 0);
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
  std::vector<prometheus::MetricFamily> all = registry_.Collect();
  for (prometheus::MetricFamily& f : process_figures()) all.push_back(std::move(f));
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace relay
