#pragma once

// A blocking client for tests: whole requests, and raw bytes for what no client would send. Every read gives
// up after 20 s, so that a test that waits for nothing fails instead of hanging.

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/json.hpp"

namespace relay::test {

struct response {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  json::value json() const;
  std::string header(const std::string& lower_name) const;
};

/// One connection.
class connection {
 public:
  /// `from`: the address that it comes from, any of 127.0.0.0/8.
  explicit connection(std::uint16_t port, const std::string& from = "127.0.0.1");
  /// Of a Unix socket.
  explicit connection(const boost::asio::local::stream_protocol::endpoint& at);

  void send(std::string_view bytes);
  /// No more will be sent.
  void finish_sending();
  /// The next answer. Throws std::runtime_error when the peer ends the connection before it is whole.
  response receive(bool to_head = false);
  /// Everything up to and with `text`.
  std::string receive_until(std::string_view text);
  /// Everything until the peer ends the connection.
  std::string receive_all();
  /// True if the peer has ended the connection and nothing is left to read.
  bool ended();
  /// True if the end was a reset.
  bool was_reset() const { return reset_; }

 private:
  void limit_reads();
  std::size_t read_some();
  std::string receive_chunks();

  boost::asio::io_context loop_;
  boost::asio::generic::stream_protocol::socket socket_;
  std::string buffer_;
  bool reset_ = false;
};

/// One request and its answer. `authorization`: empty: none is sent.
response exchange_on(connection& c, const std::string& method, const std::string& target,
                     const std::string& body, const std::string& authorization,
                     const std::vector<std::string>& extra_headers);

/// One request on a connection of its own.
class client {
 public:
  explicit client(std::uint16_t port, std::string authorization = {})
      : port_(port), authorization_(std::move(authorization)) {}

  response get(const std::string& target) const { return request("GET", target, {}); }
  response post(const std::string& target, const std::string& body) const {
    return request("POST", target, body);
  }
  response request(const std::string& method, const std::string& target, const std::string& body,
                   const std::vector<std::string>& extra_headers = {}) const;
  std::uint16_t port() const { return port_; }

 private:
  std::uint16_t port_;
  std::string authorization_;
};

}  // namespace relay::test
