#pragma once

// The addresses of one upstream's host: a good answer is used on while a newer one is fetched, and when that
// fails (rule F8). The address that was connected to the last time comes first, then the two families in turn
// (RFC 8305 §4). Loop thread.

#include <memory>
#include <string>
#include <vector>

#include "server/names/resolver.hpp"

namespace relay {

/// Addresses in the order in which they are tried: `last` first, then IPv6 and IPv4 in turn, each family in
/// the order it came, the family of the first one first.
std::vector<asio::ip::tcp::endpoint> in_order_of_trial(std::vector<asio::ip::tcp::endpoint> found,
                                                       const asio::ip::tcp::endpoint& last);

class host_addresses : public std::enable_shared_from_this<host_addresses> {
 public:
  /// `host` is a name, or an address without brackets.
  host_addresses(asio::io_context& loop, resolver& names, std::string host, std::uint16_t port);

  /// Empty when nothing is known within `at_most`; `problem()` says why.
  awaitable<std::vector<asio::ip::tcp::endpoint>> get(steady_clock::duration at_most);
  const std::string& problem() const { return problem_; }
  /// A connection to this one was made.
  void connected(const asio::ip::tcp::endpoint& to) { last_ = to; }

 private:
  awaitable<> refresh(steady_clock::duration at_most);

  asio::io_context& loop_;
  resolver& names_;
  const std::string host_;
  const std::uint16_t port_;
  std::vector<asio::ip::tcp::endpoint> known_;
  asio::ip::tcp::endpoint last_;
  steady_clock::time_point known_at_;
  bool refreshing_ = false;  // in the background
  std::string problem_;
};

}  // namespace relay
