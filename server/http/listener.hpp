#pragma once

// Accepts connections and owns their sessions. Loop thread.

#include <list>
#include <string>

#include "config/config.hpp"
#include "server/http/session.hpp"

namespace relay::http {

struct listener_limits {
  std::size_t connections = 10'000;
  std::size_t per_address = 256;  // connections of one, or requests under way behind a trusted proxy
  address_set trusted_proxies;    // their connections count against `connections` alone
};

using acceptor = asio::basic_socket_acceptor<asio::ip::tcp, executor>;

/// A socket that has its address, and does not listen yet: connections are refused still. Throws
/// boost::system::system_error, whose text names the address, when something else listens there.
acceptor bind(asio::io_context& loop, const listen_address& at);

class listener {
 public:
  /// Listens on `at`, which bind() made. Throws boost::system::system_error, whose text names the address.
  listener(asio::io_context& loop, acceptor at, application app, session_limits limits, listener_limits caps,
           session_shared& shared);

  /// The port, also when the system chose it.
  std::uint16_t port() const { return port_; }
  std::size_t connections() const { return open_; }
  /// Connections that were closed at once, since the start: too many of one address, or too many in all.
  struct refusals {
    std::uint64_t by_address = 0;
    std::uint64_t in_all = 0;
  };
  const refusals& refused() const { return refused_; }

  /// Accepts until stop().
  awaitable<> run();
  /// No new connections; idle ones end, the others after their response.
  void drain();
  /// Ends every connection now.
  void abort();

 private:
  awaitable<> serve(tcp_socket socket, std::string address, bool is_proxy);

  asio::io_context& loop_;
  acceptor acceptor_;
  std::uint16_t port_;
  const application app_;
  const session_limits limits_;
  const listener_limits caps_;
  session_shared& shared_;
  std::list<session*> sessions_;
  address_counts by_address_;
  std::size_t open_ = 0;
  refusals refused_;
  bool stopping_ = false;
};

}  // namespace relay::http
