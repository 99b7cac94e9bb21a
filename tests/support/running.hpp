#pragma once

// The relay and the simulator as running programs in threads of this one, on ports of the system's choice.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "server/app.hpp"
#include "tests/simulator/simulator.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/temp_dir.hpp"

namespace relay::test {

class running_simulator {
 public:
  /// Jobs move on with each question unless `o` says otherwise.
  explicit running_simulator(sim::options o = stepping());
  ~running_simulator();
  static sim::options stepping();

  std::string url() const { return sim_->url(); }
  std::uint16_t port() const { return sim_->port(); }
  void list_is_down(bool down) { sim_->list_is_down(down); }
  void removals_fail(bool fail) { sim_->removals_fail(fail); }
  void forget_jobs(sim::simulator::amnesia how) { sim_->forget_jobs(how); }
  void refuse_key(std::string key, int status) { sim_->refuse_key(std::move(key), status); }
  /// What it was asked.
  json::object log() const;
  std::int64_t created() const { return log().at("created").as_int64(); }

 private:
  std::unique_ptr<sim::simulator> sim_;
  std::thread thread_;
};

/// A configuration for tests: port 0, quick polls, a database in `dir`, one upstream.
config test_config(const temp_dir& dir, const std::string& upstream_url);

/// The store that the relays of these tests have: SQLite, or with RELAY_TEST_STORE=memory one that answers
/// every read one loop turn later.
result<std::unique_ptr<store>> open_test_store(const std::string& path, const catalogue& names,
                                               store_hooks hooks);
bool is_memory_store();

class running_relay {
 public:
  explicit running_relay(config c);
  /// With other families or routes; the store is the tests' one.
  running_relay(config c, const catalogue& names, const route_table& routes);
  ~running_relay() { stop(); }

  std::uint16_t port() const { return app_->port(); }
  std::uint16_t admin_port() const { return app_->admin_port(); }
  void stop();
  /// Without waiting for the end.
  void begin_to_stop() { app_->stop(); }

  /// Waits until `enough`, which is looked at again after each save of a task. False: not within 20 s.
  bool wait_until(const std::function<bool()>& enough,
                  std::chrono::seconds at_most = std::chrono::seconds(20));

  /// A new token, made through the admin socket as the command line does.
  std::string token(const std::string& name);
  /// A request to the admin API over the relay's Unix socket, as the command line sends it. `path` is below
  /// /admin/v1, may have a query.
  response admin(const std::string& method, const std::string& path, const json::object& body = {},
                 const std::vector<std::string>& headers = {});
  /// What the relay finds when it reads its configuration again; then `admin("POST", "/reload")`.
  void set_config(config c) { next_.value = std::move(c); }
  void set_problem(config_problem p) { next_.problems = {std::move(p)}; }
  void no_problem() { next_.problems.clear(); }
  /// Speaks with a new token of that name.
  client as(const std::string& name) { return client(port(), "Bearer " + token(name)); }
  client as_nobody() const { return client(port()); }

 private:
  void start(config c, app_parts parts);

  std::string database_;
  loaded_config next_;
  std::mutex mutex_;  // guards saves_
  std::condition_variable saved_;
  std::uint64_t saves_ = 0;
  std::unique_ptr<app> app_;
  std::thread thread_;
};

/// What the admin API returns; fails the test unless it did what it was told to.
json::object done(running_relay& relay, const std::string& method, const std::string& path,
                  const json::object& body = {});
/// Why the admin API refused a request.
std::string detail_of(const response& r);

/// Waits until the task has this `state`; the last response. Gives up after 20 s.
response wait_for_state(const client& c, const std::string& path, const std::string& state);

}  // namespace relay::test
