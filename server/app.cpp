#include "server/app.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <charconv>

#include "common/base/fault_point.hpp"
#include "common/base/masked.hpp"
#include "common/engine/address_policy.hpp"
#include "server/admin/handlers.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/descriptors.hpp"
#include "server/entropy.hpp"
#include "server/log.hpp"
#include "server/settings.hpp"
#include "storage/sqlite/sqlite_store.hpp"

namespace relay {
namespace {

constexpr std::chrono::seconds repeatable_grace{1};
constexpr std::chrono::milliseconds last_replies{500};
constexpr std::size_t large_text_bytes = std::size_t{8} << 20;

result<std::unique_ptr<store>> open_sqlite(const storage_config& c, const catalogue& names,
                                           store_hooks hooks) {
  sqlite_options options;
  options.path = c.path;
  options.queue_bytes = static_cast<std::size_t>(c.queue_bytes);
  options.cache_bytes = static_cast<std::size_t>(c.cache_bytes);
  options.log_bytes =
      static_cast<std::size_t>(disk_limits_for(c.path, c.min_free_bytes, c.ballast_bytes).log);
  return open_sqlite_store(options, names, std::move(hooks));
}

}  // namespace

app::app(config c, std::shared_ptr<spdlog::logger> log, app_parts parts)
    : config_(std::move(c)),
      log_(std::move(log)),
      parts_(std::move(parts)),
      access_log_(config_.log, log_),
      names_(loop_, servers_of(config_.dns)),
      large_(loop_, large_text_bytes),
      rendered_(static_cast<std::size_t>(config_.storage.cache_bytes)),
      upstreams_(loop_, deadlines_, names_),
      billing_(config_, &upstreams_),
      facts_(loop_, upstreams_, *log_) {}

app::~app() {
  if (store_) store_->close();
}

void app::spawn(awaitable<> work) {
  auto on_end = [this](std::exception_ptr e) {
    if (!e) return;
    try {
      std::rethrow_exception(e);
    } catch (const std::exception& x) {
      log_->critical("a background task ended by an exception, stopping: {}", x.what());
      failed_ = true;
      stop();
    }
  };
  asio::co_spawn(loop_.get_executor(), std::move(work), std::move(on_end));
}

// ---- start

result<void> app::start() {
  // What another program that listens there would refuse comes first: such a start leaves nothing behind.
  try {
    bind_addresses();
  } catch (const boost::system::system_error& e) {
    return fail(errc::internal, e.what());
  }
  // The database: from here on this process holds its lock file.
  const disk_limits limits =
      disk_limits_for(config_.storage.path, config_.storage.min_free_bytes, config_.storage.ballast_bytes);
  disk_ = std::make_unique<disk>(config_.storage.path, limits, *log_);
  auto opened = open_store();
  if (!opened && opened.error().code == errc::disk_full && disk_->release()) opened = open_store();
  if (!opened) return opened;
  disk_->begin();
  if (auto files = open_assets(); !files) return files;
  // What can be wrong in the settings shows here, before anything runs.
  try {
    if (auto made = make_loops(policy_of(config_)); !made) return made;
    make_listeners();
  } catch (const boost::system::system_error& e) {
    return fail(errc::internal, e.what());
  }
  // The rest needs the loop: it begins with run().
  spawn(deadlines_.run());
  spawn(begin());
  announce();
  return {};
}

store_hooks app::hooks_for_store() {
  store_hooks hooks;
  hooks.post = [this](std::move_only_function<void()> f) { asio::post(loop_.get_executor(), std::move(f)); };
  hooks.saved = [this](const task_ptr& t) {
    watch_.notify(t);
    dispatcher_->saved(*t);
    poller_->saved(*t);
    reconciler_->saved(*t);
    deliverer_->saved(*t);
    remover_->saved(*t);
  };
  hooks.disk_full = [this] { return disk_->release(); };
  hooks.committed = [this](std::size_t writes, double seconds) { metrics_.committed(writes, seconds); };
  hooks.notice = [log = log_](const log_text& text) { log->warn("{}", text.text); };
  hooks.stopped = [this](const log_text& text) {
    store_stopped_ = true;
    log_->critical("database: {}", text.text);
  };
  hooks.warn = [log = log_](const log_text& text) { log->error("database: {}", text.text); };
  return hooks;
}

result<void> app::open_store() {
  auto opened = parts_.open_store ? parts_.open_store(config_.storage, parts_.names, hooks_for_store())
                                  : open_sqlite(config_.storage, parts_.names, hooks_for_store());
  if (!opened) return std::unexpected(std::move(opened.error()));
  store_ = std::move(*opened);
  return {};
}

// Without an address of its own the relay has none for a file.
result<void> app::open_assets() {
  assets_config c = config_.assets;
  if (config_.server.public_url.empty() || c.max_bytes == 0) return {};
  if (c.path.empty()) c.path = config_.storage.path + ".assets";
  assets_ = std::make_unique<assets>(loop_, *store_, c, config_.server.public_url,
                                     config_.storage.min_free_bytes, *log_);
  return assets_->load();
}

// The loops that move tasks. Errors: those of upstreams::prepare.
result<void> app::make_loops(const policy& p) {
  changes_ = std::make_unique<task_changes>(loop_, *store_, p, billing_, *log_);
  changes_->on_booked = [this](const task& before, const task& after, const booking& b) {
    count_end(before, after, b);
  };
  auto plan = upstreams_.prepare(config_, parts_.names);
  if (!plan) return std::unexpected(std::move(plan.error()));
  const std::vector<std::size_t> places = upstreams_.take_over(*plan);
  links_ = std::make_unique<fresh_links>(loop_, *changes_, upstreams_, metrics_, *log_);
  // The instance id stands in each attempt: recovery tells by it what an earlier process left behind.
  const dispatcher::identity who{make_id(now(), random_for_id()), config_.server.public_url,
                                 [this](std::int64_t id) {
                                   const account_ptr owner = accounts_.find(id);
                                   return owner ? owner->weight : 1;
                                 }};
  dispatcher_ = std::make_unique<dispatcher>(loop_, *store_, *changes_, upstreams_, who, metrics_, *log_);
  dispatcher_->use(*plan, places, {});
  reconciler_ = std::make_unique<reconciler>(loop_, *store_, *changes_, upstreams_, metrics_, *log_);
  poller_ = std::make_unique<poller>(loop_, *store_, *changes_, upstreams_, config_.poll.concurrency,
                                     metrics_, *log_);
  deliverer_ = std::make_unique<deliverer>(loop_, deadlines_, names_, *store_, *changes_, config_.callbacks,
                                           metrics_, *log_);
  remover_ = std::make_unique<remover>(loop_, *store_, *changes_, upstreams_, metrics_, *log_);
  janitor_ = std::make_unique<janitor>(loop_, *store_, config_.storage.keep_ended, *log_);
  timekeeper_ = std::make_unique<timekeeper>(loop_, *store_, *log_);
  const std::string& public_url = config_.server.public_url;
  alerter_ = std::make_unique<alerter>(
      loop_, deadlines_, names_, config_.alerts, public_url.empty() ? config_.server.listen : public_url,
      [this] { return troubles(); }, *log_);
  restored_ = std::make_unique<restored_jobs>(loop_, *store_, *changes_, upstreams_, p.late_interval,
                                              metrics_, *log_);
  return {};
}

// Throws boost::system::system_error when an address is taken.
void app::bind_addresses() {
  bound_.clients = http::bind(loop_, *parse_listen(config_.server.listen));
  if (!config_.admin.listen.empty())
    bound_.operators = http::bind(loop_, *parse_listen(config_.admin.listen));
}

// Throws boost::system::system_error when an address cannot be listened on.
void app::make_listeners() {
  // A callback of an upstream changes nothing of a task but its story: it is a hint to poll the upstream now.
  const auto upstream_called = [this](const task_ptr& t, std::string_view body) {
    if (t->upstream_id.empty()) {
      reconciler_->hint(*t, body);
    } else {
      poller_->hint(t);
    }
  };
  const handler_context context{config_,
                                parts_.names,
                                *store_,
                                accounts_,
                                *dispatcher_,
                                *changes_,
                                watch_,
                                rendered_,
                                metrics_,
                                *log_,
                                streams_,
                                sends_,
                                limits_,
                                requests_,
                                large_,
                                facts_,
                                billing_,
                                *links_,
                                assets_.get(),
                                [this] { return state(); },
                                [this] { return disk_->refusal(store_->counts().to_come()); },
                                upstream_called};
  public_requests_ = std::make_unique<request_handler>(context, parts_.routes, audience::clients);
  admin_requests_ = std::make_unique<request_handler>(context, admin_routes(), audience::operators);
  make_admin_api();
  shared_.emplace(deadlines_, static_cast<std::size_t>(config_.server.body_memory_bytes));

  // Clients, metrics and the command line each have a listener of their own, with limits of their own.
  const http::session_limits limits = limits_of(config_.server);
  http::listener_limits caps;
  const descriptor_plan files = plan_descriptors(config_, descriptor_limit());
  if (!files.warning.empty()) log_->warn("{}", files.warning);
  caps.connections = files.clients;
  caps.per_address = static_cast<std::size_t>(config_.server.max_connections_per_address);
  caps.trusted_proxies = *address_set::parse(config_.server.trusted_proxies);
  public_ = std::make_unique<http::listener>(loop_, std::move(*bound_.clients), serve_clients(), limits, caps,
                                             *shared_);
  if (!config_.admin.listen.empty()) {
    const http::listener_limits admin_caps{64, 64, {}};
    admin_ = std::make_unique<http::listener>(loop_, std::move(*bound_.operators), serve_operators(false),
                                              limits, admin_caps, *shared_);
  }
  accounts_.on_ended = [this] { watch_.look_again(); };
  begin_metrics();
  socket_ = std::make_unique<admin_socket>(loop_, admin_socket_path(config_.storage.path),
                                           serve_operators(true), limits, *shared_);
}

http::application app::serve_clients() {
  http::application out;
  out.handle = [this](http::request& r) { return public_requests_->handle(r); };
  out.plan_body = [this](http::request& r) { return public_requests_->plan_body(r); };
  out.refuse = [this](const error& e, const http::unrouted& r) { return public_requests_->refuse(e, r); };
  out.problem = [this](const log_text& text) { log_->error("{}", text.text); };
  out.log = [this](const http::access_record& a) { log_request(a); };
  return out;
}

http::application app::serve_operators(bool is_local) {
  http::application out;
  out.handle = [this, is_local](http::request& r) {
    return admin_api::serves(r.target) ? admin_api_->handle(r, is_local) : admin_requests_->handle(r);
  };
  out.plan_body = [this, is_local](http::request& r) {
    return admin_api::serves(r.target) ? admin_api_->plan_body(r, is_local) : admin_requests_->plan_body(r);
  };
  out.refuse = [this](const error& e, const http::unrouted& r) {
    return admin_api_->refuse(e, r.request_id);
  };
  out.problem = [this](const log_text& text) { log_->error("{}", text.text); };
  // Not the probes and the metrics of the same port: they come all the time.
  out.log = [this](const http::access_record& a) {
    if (admin_api::serves(a.of.target)) access_log_.write(a);
  };
  return out;
}

void app::make_admin_api() {
  admin::remove_unfinished_copies(config_.storage.path);
  admin_context in{loop_, config_, *store_, *changes_, accounts_, operators_, billing_, *log_};
  in.submit = dispatcher_.get();
  in.all_upstreams = &upstreams_;
  in.files = admin_files_;
  in.state = [this] { return state(); };
  in.reload = [this] { return reload_now(); };
  in.booked = [this](const ledger_entry& e) { metrics_.booked(e); };
  admin_api_ = std::make_unique<admin_api>(std::move(in));
}

void app::log_request(const http::access_record& a) {
  metrics_.request_done(a.of.route, a.status, std::chrono::duration<double>(a.took).count());
  access_log_.write(a);
}

void app::announce() {
  log_->info("listening on {}:{}, {} upstream(s), database {}", parse_listen(config_.server.listen)->host,
             public_->port(), config_.upstreams.size(), config_.storage.path);
  if (config_.server.public_url.empty()) {
    log_->warn(
        "server.public_url is not set: upstreams are polled only, and a submission whose response is lost is "
        "found again only if its request is unlike every other of the same minutes");
  } else {
    log_->info("clients and upstreams reach it at {}", config_.server.public_url);
  }
  warn_about_upstreams();
  if (admin_) log_->info("the admin API and metrics on port {}", admin_->port());
}

void app::warn_about_upstreams() {
  for (const auto& u : upstreams_.all()) {
    const upstream_config& c = u->settings();
    if (!u->configured()) continue;
    if (c.key.reveal().size() < shortest_masked)
      log_->warn(
          "upstream {}: its key has fewer than {} characters; should the upstream quote it in an error, "
          "clients and this log see it",
          u->name(), shortest_masked);
    if (!c.base.tls && !is_private_host(c.base.host))
      log_->warn(
          "UPSTREAM {} IS REACHED WITHOUT TLS: {} is plain http, and everybody on the way can read its key "
          "and "
          "change what it responds; give it an https address",
          u->name(), c.url);
  }
}

// Requests are accepted only when what an earlier process left behind is known.
awaitable<> app::begin() {
  // 1. What an earlier process left behind.
  const auto recovered = co_await recover();
  if (!recovered) {
    log_->critical("cannot read the database at start: {}", recovered.error().log.text);
    failed_ = true;
    stop();
  }
  if (stopping_) co_return;
  // 2. The loops that move tasks.
  spawn(dispatcher_->run());
  spawn(reconciler_->run());
  spawn(poller_->run());
  spawn(deliverer_->run());
  if (config_.poll.delete_at_upstream) spawn(remover_->run());
  spawn(janitor_->run());
  spawn(timekeeper_->run());
  spawn(restored_->run());
  spawn(alerter_->run());
  if (assets_) spawn(assets_->run());
  // 3. The listeners.
  spawn(public_->run());
  if (admin_) spawn(admin_->run());
  spawn(socket_->run());
  spawn(housekeeping());
  spawn(count_slowly());
  serving_ = true;
}

awaitable<result<void>> app::recover() {
  // What stood still meanwhile has not run out of time.
  const auto resumed = co_await timekeeper_->resume();
  if (!resumed) co_return std::unexpected(resumed.error());

  // Who may call.
  const auto accounts = co_await from_store(*store_, &store::accounts);
  if (!accounts) co_return std::unexpected(accounts.error());
  for (const account& a : *accounts) accounts_.put(a);
  const auto tokens = co_await from_store(*store_, &store::tokens);
  if (!tokens) co_return std::unexpected(tokens.error());
  accounts_.set_day(day_of(now()));
  for (const token& t : *tokens) accounts_.add(t);
  auto operators = co_await from_store(*store_, &store::admin_tokens);
  if (!operators) co_return std::unexpected(std::move(operators.error()));
  operators_.set(std::move(*operators));
  if (!accounts_.has_tokens())
    log_->warn("there is no token yet; make one: luma-relay token create --name NAME");

  // Times that lie further ahead than any schedule sets them come from a clock that was wrong.
  const schedule_limits limits = limits_of(changes_->limits(), parts_.names.longest_job_deadline());
  const auto rebased = co_await from_store(*store_, &store::rebase, now(), limits);
  if (!rebased) co_return std::unexpected(rebased.error());
  if (*rebased > 0)
    log_->warn("the clock was set back since the last run: {} times in the schedule were too far ahead",
               *rebased);

  // For the operator: what is on disk.
  const task_counts& counts = store_->counts();
  std::string found;
  for (const task_state s : all_states) {
    if (counts[s] > 0) found += " " + std::to_string(counts[s]) + " " + std::string(name_of(s));
  }
  if (!found.empty())
    log_->info("jobs on disk:{}; callbacks pending for {}", found, counts.callbacks_pending);
  // Submissions that an earlier process did not see the end of.
  co_return co_await dispatcher_->recover();
}

bool app::run() {
  loop_.run();
  if (store_) store_->close();
  log_->info("stopped");
  access_log_.finish();
  finish_log(*log_);
  return !failed_;
}

// ---- stop

void app::stop() {
  asio::post(loop_.get_executor(), [this] {
    if (stopping_) return end_now();
    stopping_ = true;
    spawn(drain());
  });
}

// A load balancer before several relays sees 503 from /readyz first, and has time to send no more
// here.
awaitable<> app::announce_the_stop() {
  if (!serving_ || failed_ || ended_ || config_.server.shutdown_delay.count() == 0) co_return;
  log_->info("stopping in {} ms: /readyz says 503 from now on", config_.server.shutdown_delay.count());
  delay_timer_.expires_after(config_.server.shutdown_delay);
  co_await delay_timer_.async_wait(as_result);
}

awaitable<> app::drain() {
  co_await announce_the_stop();
  log_->info("stopping: no new connections; requests in flight have {} s",
             config_.server.shutdown_grace.count() / 1000);
  // 1. Nothing new begins.
  public_->drain();
  if (admin_) admin_->drain();
  socket_->drain();
  dispatcher_->stop();
  reconciler_->stop();
  poller_->stop();
  deliverer_->stop();
  remover_->stop();
  janitor_->stop();
  timekeeper_->stop();
  restored_->stop();
  alerter_->stop();
  if (assets_) assets_->stop();
  watch_.drain();
  fault_point("in the drain");
  // 2. What is under way may end, within the grace.
  const auto started = steady_clock::now();
  const auto until = started + config_.server.shutdown_grace;
  steady_timer pause(loop_.get_executor());
  const auto moment = [&pause] {
    pause.expires_after(std::chrono::milliseconds(10));
    return pause.async_wait(as_result);
  };
  // Polls and callbacks can be done again: they are not waited for as long as what clients and operators wait
  // for.
  const auto operators = [this] { return socket_->connections() + (admin_ ? admin_->connections() : 0); };
  const auto clients = [this] { return public_->connections() + dispatcher_->in_flight() > 0; };
  const auto others = [this] {
    return reconciler_->in_flight() + poller_->in_flight() + deliverer_->in_flight() + remover_->in_flight() +
               alerter_->in_flight() >
           0;
  };
  while (!ended_ && steady_clock::now() < until &&
         (clients() || operators() > 0 || (others() && steady_clock::now() < started + repeatable_grace))) {
    co_await moment();
  }
  // 3. Clients that still wait get what is known, and have a moment to read it.
  watch_.close();
  const auto respond_until = steady_clock::now() + last_replies;
  while (!ended_ && public_->connections() > 0 && steady_clock::now() < respond_until) co_await moment();
  // 4. The rest is cut off. Whatever still begins to wait for a peer gives up at the next sweep.
  end_now();
  while (clients() || others()) co_await moment();
  co_await dispatcher_->keep_lanes();
  co_await note_uses();
  co_await from_store(*store_, &store::mark_alive, now());
  deadlines_.stop();
  loop_.stop();  // a name service that does not respond is not waited for
}

void app::end_now() {
  if (ended_) return;
  ended_ = true;
  public_->abort();
  if (admin_) admin_->abort();
  socket_->abort();
  changes_->abandon();
  watch_.close();
  deadlines_.expire_all();
  names_.abandon();
  housekeeping_timer_.cancel();
  delay_timer_.cancel();
  counting_timer_.cancel();
}

}  // namespace relay
