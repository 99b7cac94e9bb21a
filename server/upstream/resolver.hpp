#pragma once

// The addresses of one upstream's host. getaddrinfo cannot be cancelled, so a lookup runs by itself, and what
// needs its result waits with a deadline; a good result is kept and used on while a newer one is
// fetched or fails. Loop thread.

#include <memory>
#include <string>
#include <vector>

#include "server/asio.hpp"

namespace relay {

class host_addresses {
 public:
  host_addresses(asio::io_context& loop, std::string host, std::uint16_t port);

  /// Empty when nothing is known within `at_most`; `problem()` says why.
  awaitable<std::vector<asio::ip::tcp::endpoint>> get(steady_clock::duration at_most);
  std::string problem() const;

 private:
  struct state;
  static awaitable<> look_up(std::shared_ptr<state> s);

  std::shared_ptr<state> state_;  // shared with a lookup that may outlive us
};

}  // namespace relay
