#pragma once

// A name server on loopback (RFC 1035, UDP): answers as told, and remembers what it was asked. A thread of
// its own.

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace relay::test {

class name_server {
 public:
  /// IPv4 and IPv6 addresses of a name when it is asked for the n-th time, from 1 on. Empty: there is no such
  /// name; nullopt: no response.
  using answer = std::function<std::optional<std::vector<std::string>>(const std::string& name, int n)>;

  explicit name_server(answer a);
  ~name_server();

  /// ADDRESS:PORT.
  std::string at() const { return "127.0.0.1:" + std::to_string(port_); }
  std::uint16_t port() const { return port_; }
  /// How often it was asked for a name; a question for both kinds of addresses counts once.
  int asked(const std::string& name) const;
  /// Returns when it has been asked for a name; throws after 20 s.
  void wait_for(const std::string& name) const;

 private:
  void receive();
  std::string respond(std::string_view question);

  answer answer_;
  boost::asio::io_context loop_;
  boost::asio::ip::udp::socket socket_{loop_};
  boost::asio::ip::udp::endpoint from_;
  std::uint16_t port_ = 0;
  std::string buffer_;
  mutable std::mutex mutex_;
  mutable std::condition_variable came_;
  std::map<std::string, int> asked_, asked_v6_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace relay::test
