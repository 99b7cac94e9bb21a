#pragma once

// The addresses of one upstream's host: a good answer is used on while a newer one is fetched, and when that
// fails (rule F8). Loop thread.

#include <string>
#include <vector>

#include "server/names/resolver.hpp"

namespace relay {

class host_addresses {
 public:
  /// `host` is a name, or an address without brackets.
  host_addresses(asio::io_context& loop, resolver& names, std::string host, std::uint16_t port);

  /// Empty when nothing is known within `at_most`; `problem()` says why.
  awaitable<std::vector<asio::ip::tcp::endpoint>> get(steady_clock::duration at_most);
  const std::string& problem() const { return problem_; }

 private:
  awaitable<> refresh(steady_clock::duration at_most);

  asio::io_context& loop_;
  resolver& names_;
  const std::string host_;
  const std::uint16_t port_;
  std::vector<asio::ip::tcp::endpoint> known_;
  steady_clock::time_point known_at_;
  bool refreshing_ = false;  // in the background
  std::string problem_;
};

}  // namespace relay
