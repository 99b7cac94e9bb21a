#pragma once

// The composition root: owns every part, knows the order in which they start and stop. main() runs one; so do
// the tests, on port 0.

#include <memory>
#include <optional>
#include <vector>

#include "config/config.hpp"
#include "server/admin.hpp"
#include "server/auth.hpp"
#include "server/background/deliverer.hpp"
#include "server/background/dispatcher.hpp"
#include "server/background/janitor.hpp"
#include "server/background/poller.hpp"
#include "server/background/reconciler.hpp"
#include "server/disk.hpp"
#include "server/front.hpp"
#include "server/http/listener.hpp"
#include "server/metrics.hpp"
#include "server/rendered.hpp"
#include "server/upstream/upstream.hpp"
#include "server/watch.hpp"
#include "storage/store.hpp"

namespace relay {

class app {
 public:
  app(config c, std::shared_ptr<spdlog::logger> log);
  ~app();

  /// Opens the database, recovers, listens. Errors: what cannot be opened, as log text.
  result<void> start();
  /// Serves until stop() and the drain after it. False: a part of it failed, the log says which.
  bool run();
  /// Any thread: begin to stop; a second call ends everything now.
  void stop();

  std::uint16_t port() const { return public_->port(); }
  std::uint16_t admin_port() const { return admin_ ? admin_->port() : 0; }

 private:
  awaitable<> drain();
  awaitable<> housekeeping();
  awaitable<result<void>> recover();
  void spawn(awaitable<> work);
  void end_now();

  const config config_;
  std::shared_ptr<spdlog::logger> log_;
  asio::io_context loop_{1};
  deadlines deadlines_{loop_};
  metrics metrics_;
  watch watch_{loop_};
  stream_count streams_;
  rendered_tasks rendered_;
  token_registry tokens_;
  std::unique_ptr<disk> disk_;  // the store thread asks it for room
  std::unique_ptr<store> store_;
  std::vector<std::unique_ptr<upstream>> upstreams_;
  std::unique_ptr<dispatcher> dispatcher_;
  std::unique_ptr<poller> poller_;
  std::unique_ptr<reconciler> reconciler_;
  std::unique_ptr<deliverer> deliverer_;
  std::unique_ptr<janitor> janitor_;
  std::unique_ptr<front> public_front_, admin_front_;
  std::optional<http::session_shared> shared_;
  std::unique_ptr<http::listener> public_, admin_;
  std::unique_ptr<admin_socket> socket_;
  steady_timer housekeeping_timer_{loop_.get_executor()};
  bool stopping_ = false;
  bool ended_ = false;
  bool failed_ = false;
};

}  // namespace relay
