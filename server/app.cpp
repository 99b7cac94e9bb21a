#include "server/app.hpp"

#include <spdlog/logger.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "common/base/fault_point.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "common/base/text.hpp"
#include "server/log.hpp"
#include "server/routes.hpp"
#include "storage/sqlite/sqlite_store.hpp"

namespace relay {
namespace {

constexpr std::chrono::seconds repeatable_grace{1};
constexpr std::chrono::milliseconds last_words{500};

// The secret of a callback address is not for the log, whatever became of the request.
std::string loggable(std::string_view target) {
  constexpr std::string_view secret_after = "/callbacks/";
  const auto at = target.find(secret_after);
  if (at != std::string_view::npos) return for_log(target.substr(0, at + secret_after.size()), 200) + "…";
  return for_log(target, 200);
}

policy policy_of(const config& c) {
  policy p;
  p.submit_deadline = c.submit.deadline;
  p.submit_retry = c.submit.retry;
  p.submit_retry_max = c.submit.retry_max;
  p.poll_interval = c.poll.interval;
  p.poll_retry_max = c.poll.retry_max;
  p.job_deadline = c.poll.job_deadline;
  p.not_found_limit = static_cast<int>(c.poll.not_found_limit);
  p.ambiguous = c.submit.on_ambiguous == "fail"       ? on_ambiguous::fail
                : c.submit.on_ambiguous == "resubmit" ? on_ambiguous::resubmit
                                                      : on_ambiguous::prove;
  p.settle = c.submit.settle;
  p.reconcile_for = c.submit.reconcile_deadline;
  p.reconcile_retry = std::min(p.reconcile_retry, std::max(c.submit.settle / 4, milliseconds(10)));
  p.callback_retries = c.callbacks.retry_after;
  return p;
}

// The longest that each schedule can honestly lie ahead, upstreams' own Retry-After (300 s) included.
schedule_limits limits_of(const policy& p) {
  constexpr milliseconds asked_for{300'000};
  schedule_limits l{};
  l.submit = std::max(p.submit_retry_max, asked_for);
  l.poll = std::max({p.poll_retry_max, p.poll_interval, p.late_interval, asked_for});
  l.reconcile = std::max({p.reconcile_retry_max, p.settle, asked_for});
  l.callback = milliseconds(3'600'000);
  for (const milliseconds m : p.callback_retries) l.callback = std::max(l.callback, m + m / 4);
  l.submit_deadline = p.submit_deadline;
  l.job_deadline = p.job_deadline;
  l.late_for = p.late_for;
  return l;
}

http::session_limits limits_of(const server_config& c) {
  http::session_limits l;
  l.gate.head_bytes = static_cast<std::size_t>(c.max_header_bytes);
  l.gate.body_bytes = static_cast<std::uint64_t>(c.max_body_bytes);
  l.header = c.header_timeout;
  l.body = c.body_timeout;
  l.write = c.write_timeout;
  l.idle = c.idle_timeout;
  return l;
}

}  // namespace

app::app(config c, std::shared_ptr<spdlog::logger> log)
    : config_(std::move(c)),
      log_(std::move(log)),
      rendered_(static_cast<std::size_t>(config_.storage.cache_tasks)) {}

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

result<void> app::start() {
  store_hooks hooks;
  hooks.post = [this](std::move_only_function<void()> f) { asio::post(loop_.get_executor(), std::move(f)); };
  hooks.saved = [this](const task_ptr& t) {
    watch_.notify(t);
    dispatcher_->saved(*t);
    poller_->saved(*t);
    reconciler_->saved(*t);
    deliverer_->saved(*t);
  };
  disk_ = std::make_unique<disk>(config_.storage.path, config_.storage.min_free_bytes,
                                 config_.storage.ballast_bytes, *log_);
  hooks.disk_full = [this] { return disk_->release(); };
  hooks.committed = [this](std::size_t writes, double seconds) { metrics_.committed(writes, seconds); };
  hooks.warn = [log = log_](const log_text& text) { log->error("database: {}", text.text); };
  sqlite_options options;
  options.path = config_.storage.path;
  options.queue_limit = static_cast<std::size_t>(config_.storage.queue_limit);
  options.cache_tasks = static_cast<std::size_t>(config_.storage.cache_tasks);
  auto opened = open_sqlite_store(options, std::move(hooks));
  if (!opened) return std::unexpected(std::move(opened.error()));
  store_ = std::move(*opened);

  auto tokens = store_->tokens();
  if (!tokens) return std::unexpected(std::move(tokens.error()));
  for (const token& t : *tokens) tokens_.add(t);

  const policy p = policy_of(config_);
  try {
    for (const upstream_config& u : config_.upstreams) {
      upstreams_.push_back(std::make_unique<upstream>(loop_, deadlines_, u));
    }
    const std::string& public_url = config_.server.public_url;
    dispatcher_ = std::make_unique<dispatcher>(loop_, *store_, upstreams_, p, public_url, metrics_, *log_);
    reconciler_ = std::make_unique<reconciler>(loop_, *store_, upstreams_, *dispatcher_, p, metrics_, *log_);
    poller_ =
        std::make_unique<poller>(loop_, *store_, upstreams_, p, config_.poll.concurrency, metrics_, *log_);
    deliverer_ =
        std::make_unique<deliverer>(loop_, deadlines_, *store_, p, config_.callbacks, metrics_, *log_);
    janitor_ = std::make_unique<janitor>(loop_, *store_, config_.storage.keep_ended, *log_);

    const auto upstream_called = [this](const task& t) {
      if (is_ambiguous(t)) {
        reconciler_->hint(t);
      } else {
        poller_->hint(t);
      }
    };
    const services parts{config_,
                         *store_,
                         tokens_,
                         *dispatcher_,
                         watch_,
                         rendered_,
                         metrics_,
                         *log_,
                         streams_,
                         [this] { return !stopping_; },
                         [this] { return disk_->refusal(); },
                         upstream_called};
    public_front_ = std::make_unique<front>(parts, public_routes());
    admin_front_ = std::make_unique<front>(parts, admin_routes());
    shared_.emplace(deadlines_);

    http::service serve_public;
    serve_public.handle = [this](http::request& r) { return public_front_->handle(r); };
    serve_public.refuse = [this](const error& e, std::string_view target) {
      return public_front_->refuse(e, target);
    };
    serve_public.problem = [this](const log_text& text) { log_->error("{}", text.text); };
    serve_public.log = [this](const http::access_record& a) {
      metrics_.request_done(a.of.route, a.status, std::chrono::duration<double>(a.took).count());
      log_->info("{} {} {} {}B {}us id={} token={} task={} from={}", a.of.method_name, loggable(a.of.target),
                 a.status, a.bytes, a.took.count(), a.of.id, a.of.token_name.empty() ? "-" : a.of.token_name,
                 a.of.task_id.empty() ? "-" : a.of.task_id, a.of.peer);
    };
    http::service serve_admin;
    serve_admin.handle = [this](http::request& r) { return admin_front_->handle(r); };
    serve_admin.refuse = [this](const error& e, std::string_view target) {
      return admin_front_->refuse(e, target);
    };
    serve_admin.problem = serve_public.problem;

    const http::session_limits limits = limits_of(config_.server);
    http::listener_limits caps;
    caps.connections = static_cast<std::size_t>(config_.server.max_connections);
    caps.per_address = static_cast<std::size_t>(config_.server.max_connections_per_address);
    public_ = std::make_unique<http::listener>(loop_, *parse_listen(config_.server.listen),
                                               std::move(serve_public), limits, caps, *shared_);
    if (!config_.admin.listen.empty()) {
      admin_ =
          std::make_unique<http::listener>(loop_, *parse_listen(config_.admin.listen), std::move(serve_admin),
                                           limits, http::listener_limits{64, 64}, *shared_);
    }
    socket_ = std::make_unique<admin_socket>(loop_, admin_socket_path(config_.storage.path), *store_, tokens_,
                                             *log_);
  } catch (const boost::system::system_error& e) {
    return fail(errc::internal, e.what());
  }

  spawn(deadlines_.run());
  auto begin = [](app& self) -> awaitable<> {
    auto recovered = co_await self.recover();
    if (!recovered) {
      self.log_->critical("cannot read the database at start: {}", recovered.error().log.text);
      self.failed_ = true;
      self.stop();
    }
    if (self.stopping_) co_return;
    self.spawn(self.dispatcher_->run());
    self.spawn(self.reconciler_->run());
    self.spawn(self.poller_->run());
    self.spawn(self.deliverer_->run());
    self.spawn(self.janitor_->run());
    self.spawn(self.public_->run());
    if (self.admin_) self.spawn(self.admin_->run());
    self.spawn(self.socket_->run());
    self.spawn(self.housekeeping());
  };
  spawn(begin(*this));

  log_->info("listening on {}:{}, {} upstream(s), {} token(s), database {}",
             parse_listen(config_.server.listen)->host, public_->port(), upstreams_.size(), tokens_.size(),
             config_.storage.path);
  if (config_.server.public_url.empty()) {
    log_->warn(
        "server.public_url is not set: upstreams are polled only, and a submission whose answer is lost is "
        "found again only if its request is unlike every other of the same minutes");
  } else {
    log_->info("the world reaches it at {}", config_.server.public_url);
  }
  if (admin_) log_->info("metrics on port {}", admin_->port());
  if (tokens_.size() == 0) log_->warn("there is no token yet; make one: luma-relay token create --name NAME");
  return {};
}

// What a dead process left behind.
awaitable<result<void>> app::recover() {
  const schedule_limits limits = limits_of(policy_of(config_));
  auto start = [&](written<std::int64_t> done) { store_->rebase(now(), limits, std::move(done)); };
  auto rebased = co_await await_written<std::int64_t>(std::move(start));
  if (!rebased) co_return std::unexpected(std::move(rebased.error()));
  if (*rebased > 0)
    log_->warn("the clock was set back since the last run: {} times in the schedule were too far ahead",
               *rebased);
  if (const auto counts = store_->count_by_state()) {
    std::string found;
    for (const state_count& n : *counts)
      found += " " + std::to_string(n.tasks) + " " + std::string(name_of(n.state));
    if (!found.empty())
      log_->info("jobs on disk:{}; callbacks owed for {}", found, store_->count_owed().value_or(0));
  }
  co_return co_await dispatcher_->recover();
}

bool app::run() {
  loop_.run();
  if (store_) store_->close();
  log_->info("stopped");
  log_->flush();
  return !failed_;
}

void app::stop() {
  asio::post(loop_.get_executor(), [this] {
    if (stopping_) return end_now();
    stopping_ = true;
    spawn(drain());
  });
}

// Log lines and gauges, ten times a second; the disk once.
awaitable<> app::housekeeping() {
  int rounds = 0;
  while (!ended_) {
    log_->flush();
    metrics_.set_connections(public_->connections());
    if (++rounds % 10 == 0) {
      disk_->check();
      metrics_.set_disk_free(disk_->free_bytes());
    }
    housekeeping_timer_.expires_after(std::chrono::milliseconds(100));
    co_await housekeeping_timer_.async_wait(as_result);
  }
}

awaitable<> app::drain() {
  log_->info("stopping: no new connections; requests in flight have {} s",
             config_.server.shutdown_grace.count() / 1000);
  public_->drain();
  if (admin_) admin_->drain();
  socket_->stop();
  dispatcher_->stop();
  reconciler_->stop();
  poller_->stop();
  deliverer_->stop();
  janitor_->stop();
  watch_.drain();
  fault_point("in the drain");
  const auto started = steady_clock::now();
  const auto until = started + config_.server.shutdown_grace;
  steady_timer pause(loop_.get_executor());
  // Polls and callbacks can be done again: they are not waited for as long as what clients wait for.
  const auto clients = [this] { return public_->connections() + dispatcher_->in_flight() > 0; };
  const auto others = [this] {
    return reconciler_->in_flight() + poller_->in_flight() + deliverer_->in_flight() > 0;
  };
  while (!ended_ && steady_clock::now() < until &&
         (clients() || (others() && steady_clock::now() < started + repeatable_grace))) {
    pause.expires_after(std::chrono::milliseconds(10));
    co_await pause.async_wait(as_result);
  }
  // Who still waits is answered with what is known, and has a moment to be told.
  watch_.close();
  const auto told_by = steady_clock::now() + last_words;
  while (!ended_ && public_->connections() > 0 && steady_clock::now() < told_by) {
    pause.expires_after(std::chrono::milliseconds(10));
    co_await pause.async_wait(as_result);
  }
  end_now();
  while (clients() || others()) {  // whatever still begins to wait for a peer gives up at the next sweep
    pause.expires_after(std::chrono::milliseconds(10));
    co_await pause.async_wait(as_result);
  }
  deadlines_.stop();
  loop_.stop();  // a name service that does not answer is not waited for
}

void app::end_now() {
  if (ended_) return;
  ended_ = true;
  public_->abort();
  if (admin_) admin_->abort();
  dispatcher_->abandon();
  watch_.close();
  deadlines_.expire_all();
  housekeeping_timer_.cancel();
}

}  // namespace relay
