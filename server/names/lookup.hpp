#pragma once

// One lookup of a name with c-ares: the hosts file, then the name servers, as /etc/resolv.conf and
// /etc/nsswitch.conf say. IPv4 and IPv6 together, sorted by RFC 6724. Ended by its destructor. Loop thread.

#include <boost/asio/ip/address.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "server/asio.hpp"

namespace relay {

using name_servers = std::vector<asio::ip::tcp::endpoint>;  // asked by UDP and TCP

struct name_answer {
  std::vector<asio::ip::address> addresses;
  std::string problem;  // when there are none
};

class name_lookup {
 public:
  using completion = std::move_only_function<void(name_answer)>;

  /// `servers` are asked instead of those in /etc/resolv.conf, unless there are none. `done` is called later,
  /// from the loop; never after the destructor.
  name_lookup(asio::io_context& loop, const name_servers& servers, const std::string& host, completion done);
  ~name_lookup();
  name_lookup(const name_lookup&) = delete;
  name_lookup& operator=(const name_lookup&) = delete;

 private:
  class query;
  std::shared_ptr<query> query_;  // shared with what the loop still has to call
};

}  // namespace relay
