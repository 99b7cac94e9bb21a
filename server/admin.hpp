#pragma once

// Where the command line reaches a relay that runs. Loop thread.

#include <boost/asio/local/stream_protocol.hpp>
#include <string>

#include "common/base/json.hpp"
#include "server/admin_commands.hpp"
#include "server/asio.hpp"

namespace spdlog {
class logger;
}

namespace relay {

/// Path of the admin socket of a database.
std::string admin_socket_path(const std::string& database);

/// A socket's address has room for 107 bytes of path (unix(7)); a longer one is reached through its folder,
/// which stays open as long as this lives. Throws boost::system::system_error when there is no such folder.
class socket_address {
 public:
  explicit socket_address(const std::string& path);
  ~socket_address();
  socket_address(const socket_address&) = delete;
  socket_address& operator=(const socket_address&) = delete;

  asio::local::stream_protocol::endpoint endpoint() const { return {name_}; }

 private:
  int folder_ = -1;
  std::string name_;
};

/// A Unix socket beside the database, for its owner only: one line with a request, one line with the
/// response.
class admin_socket {
 public:
  /// Throws boost::system::system_error.
  admin_socket(asio::io_context& loop, const std::string& path, admin_context in, spdlog::logger& log);
  ~admin_socket();

  awaitable<> run();
  void stop();

 private:
  using protocol = asio::local::stream_protocol;
  using socket = asio::basic_stream_socket<protocol, executor>;
  awaitable<> serve(socket s);

  asio::io_context& loop_;
  const std::string path_;
  const admin_context in_;
  spdlog::logger& log_;
  asio::basic_socket_acceptor<protocol, executor> acceptor_;
  bool stopping_ = false;
};

}  // namespace relay
