#pragma once

// Where a client may have its callbacks sent (rule S4). An address is resolved here, refused if any answer is
// not a public unicast address, and the addresses that were checked are the ones to dial. Names of clients'
// hosts are resolved by threads of their own, so that a slow one stalls neither the loop nor the upstreams'
// names.

#include <boost/asio/ip/address.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/lru.hpp"
#include "server/asio.hpp"

namespace relay {

/// False for everything that is not public unicast: this host, private, shared (CGNAT), link-local, loopback,
/// documentation, benchmarking, multicast and reserved networks (RFC 6890), unique local and link-local IPv6,
/// and IPv6 that embeds IPv4 (mapped, compatible, 6to4, NAT64, Teredo).
bool is_public(const asio::ip::address& a);

/// Loop thread.
class callback_guard {
 public:
  callback_guard(asio::io_context& loop, bool allow_private);
  ~callback_guard();

  struct answer {
    std::vector<asio::ip::tcp::endpoint> endpoints;  // all of them may be dialled
    std::string problem;                             // for the operator, when there is none
    bool forbidden = false;                          // it resolves, but not to where callbacks may go
    bool too_busy = false;                           // the question was not asked: no fault of the host's
  };
  /// `host` is a name or an address without brackets. A good answer is kept for half a minute; those who ask
  /// for the same name wait for one question. `owner`: the client it is asked for; nobody's names take all
  /// threads.
  awaitable<answer> resolve(std::string host, std::uint16_t port, std::int64_t owner,
                            steady_clock::duration at_most);
  /// Who waits is told that there is no answer.
  void abandon();

 private:
  struct question;
  std::shared_ptr<question> ask(const std::string& host, std::int64_t owner);

  asio::io_context& loop_;
  const bool allow_private_;
  lru<std::shared_ptr<question>> questions_{1'000};         // asked lately, answered or not
  std::size_t waiting_ = 0;                                 // for a thread, or for its answer
  std::unordered_map<std::int64_t, std::size_t> by_owner_;  // of these
  bool abandoned_ = false;
  asio::thread_pool names_{8};
};

}  // namespace relay
