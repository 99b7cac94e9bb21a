#pragma once

// Where a client may have its callbacks sent (rule S4). An address is resolved here, refused if any answer is
// not a public unicast address, and the addresses that were checked are the ones to dial. Names of clients'
// hosts are resolved by threads of their own, so that a slow one stalls neither the loop nor the upstreams'
// names.

#include <boost/asio/ip/address.hpp>
#include <boost/asio/thread_pool.hpp>
#include <string>
#include <vector>

#include "server/asio.hpp"

namespace relay {

/// False for everything that is not public unicast: this host, private, shared (CGNAT), link-local, loopback,
/// documentation, benchmarking, multicast and reserved networks (RFC 6890), unique local and link-local IPv6,
/// and IPv6 that embeds IPv4 (mapped, compatible, 6to4, NAT64, Teredo).
bool is_public(const asio::ip::address& a);

class callback_guard {
 public:
  callback_guard(asio::io_context& loop, bool allow_private) : loop_(loop), allow_private_(allow_private) {}

  struct answer {
    std::vector<asio::ip::tcp::endpoint> endpoints;  // all of them may be dialled
    std::string problem;                             // for the operator, when there is none
    bool forbidden = false;                          // it resolves, but not to where callbacks may go
  };
  /// Loop thread. `host` is a name or an address without brackets.
  awaitable<answer> resolve(std::string host, std::uint16_t port, steady_clock::duration at_most);

 private:
  asio::io_context& loop_;
  const bool allow_private_;
  asio::thread_pool names_{4};
};

}  // namespace relay
