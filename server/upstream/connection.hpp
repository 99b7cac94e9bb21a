#pragma once

// One connection to a peer, plain or TLS, with a deadline that closes it. Loop thread.

#include <memory>
#include <string>

#include "server/asio.hpp"
#include "server/http/deadline.hpp"
#include "server/upstream/tls.hpp"

namespace relay {

class connection {
 public:
  /// `tls` null: plain.
  connection(asio::io_context& loop, deadlines& d, tls_client* tls);

  using io_result = std::pair<boost::system::error_code, std::size_t>;

  awaitable<boost::system::error_code> connect(const asio::ip::tcp::endpoint& to);
  /// With the peer of this name. Throws boost::system::system_error when OpenSSL cannot make a stream.
  awaitable<boost::system::error_code> handshake(const std::string& host);
  awaitable<io_result> write(std::string_view bytes);
  awaitable<io_result> read_some(asio::mutable_buffer into);

  void arm(steady_clock::duration after) { deadline_.arm(after); }
  void disarm() { deadline_.disarm(); }
  bool timed_out() const { return timed_out_; }
  /// Open, and nothing has come since the last response: not even the end.
  bool looks_alive();
  void close();

  steady_clock::time_point idle_since;
  bool reused = false;
  std::string read_buffer;  // kept from exchange to exchange

 private:
  tcp_socket socket_;
  tls_client* tls_;
  std::unique_ptr<tls_client::stream> stream_;
  deadlines::entry deadline_;
  bool timed_out_ = false;
};

}  // namespace relay
