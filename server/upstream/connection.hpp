#pragma once

// One connection to a peer, plain or TLS, directly or through a proxy, with a deadline that closes it. Loop
// thread.

#include <memory>
#include <string>

#include "server/asio.hpp"
#include "server/http/deadline.hpp"
#include "server/upstream/tls.hpp"

namespace relay {

class connection {
 public:
  connection(asio::io_context& loop, deadlines& d);
  ~connection();
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;

  using io_result = std::pair<boost::system::error_code, std::size_t>;

  awaitable<boost::system::error_code> connect(const asio::ip::tcp::endpoint& to);
  /// TLS with the host of this name; a second one runs within the first. Throws boost::system::system_error
  /// when OpenSSL cannot make a stream.
  awaitable<boost::system::error_code> handshake(tls_client& tls, const std::string& host);
  awaitable<io_result> write(std::string_view bytes);
  awaitable<io_result> read_some(asio::mutable_buffer into);

  void arm(steady_clock::duration after) { deadline_.arm(after); }
  void disarm() { deadline_.disarm(); }
  bool timed_out() const { return timed_out_; }
  /// Open, and nothing has come since the last response: not even the end. One that was never used may have a
  /// TLS session ticket to read.
  bool looks_alive() const;
  /// The last handshake went on with a session of an earlier connection.
  bool resumed() const;
  void close();

  steady_clock::time_point idle_since;
  bool used = false;        // it has carried an exchange
  std::string read_buffer;  // kept from exchange to exchange

 private:
  template <class Operation>
  auto on_stream(const Operation& f) {
    if (inner_) return f(*inner_);
    if (outer_) return f(*outer_);
    return f(socket_);
  }

  tcp_socket socket_;
  std::unique_ptr<tls_client::stream> outer_;         // TLS with the peer, or with the proxy
  std::unique_ptr<tls_client::nested_stream> inner_;  // with the peer, through TLS with the proxy
  deadlines::entry deadline_;
  bool timed_out_ = false;
};

}  // namespace relay
