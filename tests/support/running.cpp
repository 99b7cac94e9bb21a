#include "tests/support/running.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "common/base/text.hpp"
#include "server/disk.hpp"
#include "server/log.hpp"
#include "storage/sqlite/sqlite_store.hpp"
#include "tests/support/memory_store.hpp"

namespace relay::test {

sim::options running_simulator::stepping() {
  sim::options o;
  o.by_polls = true;
  return o;
}

running_simulator::running_simulator(sim::options o)
    : sim_(std::make_unique<sim::simulator>(std::move(o))), thread_([this] { sim_->run(); }) {}

running_simulator::~running_simulator() {
  sim_->stop();
  thread_.join();
}

json::object running_simulator::log() const {
  return client(port()).get("/_sim/log").json().as_object();
}

config test_config(const temp_dir& dir, const std::string& upstream_url) {
  config c;
  c.server.listen = "127.0.0.1:0";
  c.admin.listen = "127.0.0.1:0";
  c.storage.path = dir.file("relay.db");
  c.poll.interval = milliseconds(20);
  c.poll.retry_max = milliseconds(100);
  c.submit.retry = milliseconds(20);
  c.submit.retry_max = milliseconds(100);
  c.submit.settle = milliseconds(400);
  c.submit.reconcile_deadline = milliseconds(2'500);
  c.callbacks.allow_private_addresses = true;
  c.callbacks.timeout = milliseconds(3'000);
  c.callbacks.retry_after = {milliseconds(20),  milliseconds(50),    milliseconds(100),  milliseconds(200),
                             milliseconds(400), milliseconds(1'000), milliseconds(2'000)};
  c.server.shutdown_grace = milliseconds(5'000);
  c.dns.servers = {"127.0.0.1:9"};  // nobody: a test asks no name server but its own
  upstream_config u;
  u.name = "sim";
  u.url = upstream_url;
  u.key = secret("luma-sim-key");
  u.base = *parse_base_url(upstream_url);
  c.upstreams.push_back(std::move(u));
  return c;
}

bool is_memory_store() {
  const char* engine = std::getenv("RELAY_TEST_STORE");
  return engine != nullptr && std::string_view(engine) == "memory";
}

result<std::unique_ptr<store>> open_test_store(const std::string& path, const catalogue& names,
                                               store_hooks hooks) {
  if (is_memory_store()) return open_memory_store(path, std::move(hooks));
  sqlite_options options;
  options.path = path;
  return open_sqlite_store(options, names, std::move(hooks));
}

running_relay::running_relay(config c) : running_relay(std::move(c), families(), public_routes()) {}

running_relay::running_relay(config c, const catalogue& names, const route_table& routes)
    : database_(c.storage.path), next_{c, {}} {
  app_parts parts{names, routes, nullptr, [this] { return next_; }};
  parts.open_store = [this](const storage_config& s, const catalogue& known, store_hooks hooks) {
    hooks.saved = [this, next = std::move(hooks.saved)](const task_ptr& t) {
      next(t);
      {
        const std::lock_guard lock(mutex_);
        ++saves_;
      }
      saved_.notify_all();
    };
    if (is_memory_store()) return result<std::unique_ptr<store>>(open_memory_store(s.path, std::move(hooks)));
    sqlite_options options;
    options.path = s.path;
    options.queue_bytes = static_cast<std::size_t>(s.queue_bytes);
    options.cache_bytes = static_cast<std::size_t>(s.cache_bytes);
    options.log_bytes =
        static_cast<std::size_t>(disk_limits_for(s.path, s.min_free_bytes, s.ballast_bytes).log);
    return open_sqlite_store(options, known, std::move(hooks));
  };
  start(std::move(c), std::move(parts));
}

void running_relay::start(config c, app_parts parts) {
  const char* level = std::getenv("RELAY_TEST_LOG");  // "info" shows what the relay says
  log_config log;
  if (level != nullptr) log.level = level;
  app_ = std::make_unique<app>(std::move(c), level != nullptr ? make_logger(log) : silent_logger(),
                               std::move(parts));
  if (auto started = app_->start(); !started) throw std::runtime_error(started.error().log.text);
  thread_ = std::thread([this] { app_->run(); });
}

bool running_relay::wait_until(const std::function<bool()>& enough, std::chrono::seconds at_most) {
  const auto give_up = std::chrono::steady_clock::now() + at_most;
  std::unique_lock lock(mutex_);
  for (;;) {
    const std::uint64_t seen = saves_;
    lock.unlock();
    if (enough()) return true;
    lock.lock();
    if (!saved_.wait_until(lock, give_up, [&] { return saves_ != seen; })) return false;
  }
}

void running_relay::stop() {
  if (!thread_.joinable()) return;
  app_->stop();
  thread_.join();
  app_.reset();
}

response running_relay::admin(const std::string& method, const std::string& path, const json::object& body,
                              const std::vector<std::string>& headers) {
  const socket_address at(admin_socket_path(database_));
  connection c(at.endpoint());
  return exchange_on(c, method, std::string(admin_prefix) + path, body.empty() ? "" : json::serialize(body),
                     {}, headers);
}

std::string running_relay::token(const std::string& name) {
  const response made = admin("POST", "/tokens", {{"name", json::string(name)}});
  if (made.status != 201) throw std::runtime_error(made.body);
  return std::string(text_of(made.json().as_object(), "token"));
}

json::object done(running_relay& relay, const std::string& method, const std::string& path,
                  const json::object& body) {
  const response r = relay.admin(method, path, body);
  EXPECT_TRUE(r.status == 200 || r.status == 201) << path << ": " << r.status << " " << r.body;
  return r.json().as_object();
}

std::string detail_of(const response& r) {
  return std::string(text_of(r.json().as_object(), "detail"));
}

response wait_for_state(const client& c, const std::string& path, const std::string& state) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (;;) {
    // Answered when the state or the progress changes.
    response r = c.request("GET", path, {}, {"Prefer: wait=10"});
    if (r.status != 200) throw std::runtime_error("status " + std::to_string(r.status) + ": " + r.body);
    const std::string now(text_of(r.json().as_object(), "state"));
    if (now == state) return r;
    if (std::chrono::steady_clock::now() > give_up)
      throw std::runtime_error("still not " + state + ": " + r.body);
  }
}

}  // namespace relay::test
