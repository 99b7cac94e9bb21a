#pragma once

// The composition root: owns every part, knows the order in which they start and stop. main() runs one; so do
// the tests, on port 0.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/families.hpp"
#include "config/load.hpp"
#include "server/access_log.hpp"
#include "server/admin/admin_api.hpp"
#include "server/admin/admin_socket.hpp"
#include "server/assets/assets.hpp"
#include "server/assets/file_thread.hpp"
#include "server/auth.hpp"
#include "server/background/alerter.hpp"
#include "server/background/deliverer.hpp"
#include "server/background/dispatcher.hpp"
#include "server/background/janitor.hpp"
#include "server/background/poller.hpp"
#include "server/background/reconciler.hpp"
#include "server/background/remover.hpp"
#include "server/background/restored_jobs.hpp"
#include "server/background/timekeeper.hpp"
#include "server/billing.hpp"
#include "server/disk.hpp"
#include "server/http/listener.hpp"
#include "server/large_texts.hpp"
#include "server/metrics.hpp"
#include "server/names/resolver.hpp"
#include "server/readiness.hpp"
#include "server/rendered.hpp"
#include "server/request_handler.hpp"
#include "server/routes.hpp"
#include "server/task_changes.hpp"
#include "server/troubles.hpp"
#include "server/upstream/upstreams.hpp"
#include "server/watch.hpp"
#include "storage/store.hpp"

namespace relay {

/// What a program is made of beside its configuration. Tests put other families or another engine in their
/// place.
struct app_parts {
  const catalogue& names = families();
  const route_table& routes = public_routes();
  /// Null: SQLite.
  std::function<result<std::unique_ptr<store>>(const storage_config&, const catalogue&, store_hooks)>
      open_store;
  /// Reads the configuration once more, for a reload; null: it cannot be.
  std::function<loaded_config()> read_config;
};

class app {
 public:
  app(config c, std::shared_ptr<spdlog::logger> log, app_parts parts = {});
  ~app();

  /// Opens the database, listens. Errors: what cannot be opened, as log text.
  result<void> start();
  /// Recovers, serves until stop() and the drain after it. False: a part of it failed, the log says which.
  bool run();
  /// Any thread: begin to stop; a second call ends everything now.
  void stop();
  /// Any thread: reads the configuration once more. Upstreams, keys, limits, models and the log file are as
  /// it says from then on; what is wrong in it changes nothing. The log says what came of it.
  void reload();

  std::uint16_t port() const { return public_->port(); }
  std::uint16_t admin_port() const { return admin_ ? admin_->port() : 0; }

 private:
  // The steps of start().
  store_hooks hooks_for_store();
  result<void> open_store();
  result<void> open_assets();
  result<void> make_loops(const policy& p);
  void bind_addresses();
  void make_listeners();
  void make_admin_api();
  http::application serve_clients();
  http::application serve_operators(bool is_local);
  void log_request(const http::access_record& a);
  awaitable<result<std::vector<std::string>>> reload_now();
  awaitable<result<std::vector<std::string>>> use_config(config fresh);
  void announce();
  void warn_about_upstreams();

  awaitable<> begin();
  awaitable<result<void>> recover();
  awaitable<> drain();
  awaitable<> announce_the_stop();
  readiness state() const;
  std::vector<condition> troubles() const;
  awaitable<> housekeeping();
  void report_refused_connections();
  awaitable<> note_uses();
  void begin_metrics();
  void count_end(const task& before, const task& after, const booking& b);
  awaitable<> count_slowly();
  awaitable<> measure_queue();
  void measure_accounts();
  void spawn(awaitable<> work);
  void end_now();

  config config_;
  std::shared_ptr<spdlog::logger> log_;
  const app_parts parts_;
  access_log access_log_;
  asio::io_context loop_{1};
  deadlines deadlines_{loop_};
  resolver names_;
  metrics metrics_;
  watch watch_{loop_};
  stream_limit streams_;
  sent_creates sends_;
  create_limits limits_;
  request_limits requests_;
  large_texts large_;
  rendered_tasks rendered_;
  account_registry accounts_;
  std::unique_ptr<disk> disk_;  // the store thread asks it for space
  std::unique_ptr<store> store_;
  std::unique_ptr<assets> assets_;
  std::unique_ptr<task_changes> changes_;
  upstreams upstreams_;
  billing billing_;
  upstream_facts facts_;
  std::unique_ptr<fresh_links> links_;
  std::unique_ptr<dispatcher> dispatcher_;
  std::unique_ptr<poller> poller_;
  std::unique_ptr<reconciler> reconciler_;
  std::unique_ptr<deliverer> deliverer_;
  std::unique_ptr<remover> remover_;
  std::unique_ptr<janitor> janitor_;
  std::unique_ptr<timekeeper> timekeeper_;
  std::unique_ptr<restored_jobs> restored_;
  std::unique_ptr<alerter> alerter_;
  std::unique_ptr<request_handler> public_requests_, admin_requests_;
  admin_tokens operators_;
  std::shared_ptr<file_thread> admin_files_ = std::make_shared<file_thread>(loop_);
  std::unique_ptr<admin_api> admin_api_;
  std::optional<http::session_shared> shared_;
  struct {
    std::optional<http::acceptor> clients, operators;
  } bound_;  // until the listeners have them
  std::unique_ptr<http::listener> public_, admin_;
  std::unique_ptr<admin_socket> socket_;
  steady_timer housekeeping_timer_{loop_.get_executor()};
  steady_timer counting_timer_{loop_.get_executor()};
  steady_timer delay_timer_{loop_.get_executor()};
  std::unordered_map<std::int64_t, std::string> with_figures_;  // accounts, by number
  std::atomic<bool> store_stopped_ = false;                     // set by the store thread
  http::listener::refusals counted_, logged_;                   // of the connections that were refused
  steady_clock::time_point refusals_logged_at_;
  callback_trend callback_trend_;
  std::chrono::seconds oldest_pending_{0};  // job that waits to be submitted
  bool serving_ = false;
  bool reloading_ = false;
  bool reload_again_ = false;
  bool stopping_ = false;
  bool ended_ = false;
  bool failed_ = false;
};

}  // namespace relay
