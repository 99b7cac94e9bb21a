#pragma once

// The operator's commands, as one JSON object in and one out: run by the server for whoever reaches its admin
// socket, or by the command line itself when no server has the database.

#include <boost/asio/local/stream_protocol.hpp>
#include <string>

#include "common/json.hpp"
#include "server/asio.hpp"
#include "server/auth.hpp"
#include "storage/store.hpp"

namespace spdlog {
class logger;
}

namespace relay {

/// `{"command":"token-create","name":…}` → `{"ok":true,"token":…}`; `token-list`; `token-revoke`.
/// A failure is `{"ok":false,"message":…}`.
awaitable<json::object> run_admin_command(store& s, token_registry& registry, json::value request);

/// Path of the admin socket of a database.
std::string admin_socket_path(const std::string& database);

/// A Unix socket beside the database, for its owner only: one line with a request, one line with the answer.
class admin_socket {
 public:
  /// Throws boost::system::system_error.
  admin_socket(asio::io_context& loop, const std::string& path, store& s, token_registry& registry,
               spdlog::logger& log);
  ~admin_socket();

  awaitable<> run();
  void stop();

 private:
  using protocol = asio::local::stream_protocol;
  using socket = asio::basic_stream_socket<protocol, executor>;
  awaitable<> serve(socket s);

  asio::io_context& loop_;
  const std::string path_;
  store& store_;
  token_registry& registry_;
  spdlog::logger& log_;
  asio::basic_socket_acceptor<protocol, executor> acceptor_;
  bool stopping_ = false;
};

}  // namespace relay
