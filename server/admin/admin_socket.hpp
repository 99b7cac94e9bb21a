#pragma once

// Where the command line reaches a relay that runs: HTTP on a Unix socket beside the database, for its owner
// alone. Loop thread.

#include <boost/asio/local/stream_protocol.hpp>
#include <list>
#include <string>

#include "server/asio.hpp"
#include "server/http/session.hpp"

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

class admin_socket {
 public:
  /// Throws boost::system::system_error.
  admin_socket(asio::io_context& loop, const std::string& path, http::application app,
               http::session_limits limits, http::session_shared& shared);
  ~admin_socket();

  std::size_t connections() const { return sessions_.size(); }

  /// Accepts until drain().
  awaitable<> run();
  /// No new connections; idle ones end, the others after their response.
  void drain();
  /// Ends every connection now.
  void abort();

 private:
  using protocol = asio::local::stream_protocol;
  using socket = asio::basic_stream_socket<protocol, executor>;
  awaitable<> serve(socket s);

  asio::io_context& loop_;
  const std::string path_;
  const http::application app_;
  const http::session_limits limits_;
  http::session_shared& shared_;
  asio::basic_socket_acceptor<protocol, executor> acceptor_;
  std::list<http::session*> sessions_;
  bool stopping_ = false;
};

}  // namespace relay
