#pragma once

// The one factory of TLS contexts: peer and host name verified, TLS 1.2 or newer, sessions kept for
// resumption. Asio's default context verifies nothing.

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <memory>
#include <string>

#include "server/asio.hpp"

typedef struct ssl_session_st SSL_SESSION;

namespace relay {

class tls_client {
 public:
  /// `ca_file`: PEM of a private authority; empty: the system's. Throws boost::system::system_error.
  /// `one_host`: sessions are kept, because all streams go to the same host.
  explicit tls_client(const std::string& ca_file, bool one_host = true);
  ~tls_client();

  using stream = asio::ssl::stream<tcp_socket&>;
  using nested_stream = asio::ssl::stream<stream&>;
  /// A stream set up for the host: SNI, name check, the last session. Throws boost::system::system_error.
  std::unique_ptr<stream> make_stream(tcp_socket& socket, const std::string& host);
  std::unique_ptr<nested_stream> make_stream(stream& outer, const std::string& host);
  asio::ssl::context& context() { return context_; }

 private:
  template <class Stream>
  void set_up(Stream& s, const std::string& host);
  static int on_session(SSL* ssl, SSL_SESSION* session);

  asio::ssl::context context_;
  std::unique_ptr<SSL_SESSION, void (*)(SSL_SESSION*)> session_;
};

}  // namespace relay
