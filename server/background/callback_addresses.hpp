#pragma once

// The addresses of clients' callback hosts: a name is looked up, refused if any of its addresses is not a
// public unicast one (rule S4, engine/address_policy), and the addresses that were checked are the ones to
// connect to. Loop thread.

#include <string>
#include <vector>

#include "server/names/resolver.hpp"

namespace relay {

class callback_addresses {
 public:
  callback_addresses(resolver& names, bool allow_private) : names_(names), allow_private_(allow_private) {}

  struct resolved {
    std::vector<asio::ip::tcp::endpoint> endpoints;  // all of them may be connected to
    std::string problem;                             // for the operator, when there is none
    bool forbidden = false;                          // it resolves, but not to where callbacks may go
    bool too_busy = false;                           // it was not looked up: no fault of the host's
  };
  /// `host` is a name or an address without brackets. `owner`: the client it is for.
  awaitable<resolved> resolve(std::string host, std::uint16_t port, std::int64_t owner,
                              steady_clock::duration timeout);

 private:
  resolver& names_;
  const bool allow_private_;
};

}  // namespace relay
