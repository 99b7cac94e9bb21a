#pragma once

// Opens N connections, one after the other, with one request on each, and keeps them idle: what many requests
// at once need is not what idle connections hold. One thread.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/load_requests.hpp"
#include "tests/bench/load_response.hpp"

namespace relay::bench {

class held_connections {
 public:
  held_connections() = default;
  held_connections(const held_connections&) = delete;
  held_connections& operator=(const held_connections&) = delete;
  ~held_connections() {
    for (const int fd : open_) close(fd);
  }

  /// Throws std::runtime_error when one cannot be had, or its response is not 2xx.
  void open_one(std::uint32_t address, std::uint16_t port, std::string_view request) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) throw std::runtime_error(std::string("socket: ") + std::strerror(errno));
    open_.push_back(fd);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = address;
    to.sin_port = port;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      throw std::runtime_error(std::string("connect: ") + std::strerror(errno));
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
      throw std::runtime_error("A request could not be sent.");
    read_response(fd);
  }

  std::size_t size() const { return open_.size(); }

  /// How many the server has not closed, nor sent anything more to.
  std::size_t still_idle() const {
    std::size_t idle = 0;
    for (const int fd : open_) {
      pollfd p{fd, POLLIN | POLLRDHUP, 0};
      if (::poll(&p, 1, 0) == 0) ++idle;
    }
    return idle;
  }

 private:
  static void read_response(int fd) {
    response_reader response;
    std::array<char, 16 * 1024> buffer;
    auto state = response_reader::state::more;
    while (state == response_reader::state::more) {
      const auto n = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (n <= 0) throw std::runtime_error("A connection ended before its response.");
      state = response.feed({buffer.data(), static_cast<std::size_t>(n)});
    }
    if (state == response_reader::state::malformed) throw std::runtime_error("A response is malformed.");
    if (response.status() / 100 != 2)
      throw std::runtime_error("A response has status " + std::to_string(response.status()) + ".");
  }

  std::vector<int> open_;
};

}  // namespace relay::bench
