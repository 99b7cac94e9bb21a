#pragma once

// The addresses of clients' callback hosts. A name is resolved here, refused if any address is not a public
// unicast one (rule S4, engine/address_policy), and the addresses that were checked are the ones to connect
// to. Resolved by threads of their own, so that a slow name service stalls neither the loop nor the names of
// upstreams.

#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/lru.hpp"
#include "server/asio.hpp"

namespace relay {

/// Loop thread.
class callback_addresses {
 public:
  callback_addresses(asio::io_context& loop, bool allow_private);
  ~callback_addresses();

  struct resolved {
    std::vector<asio::ip::tcp::endpoint> endpoints;  // all of them may be connected to
    std::string problem;                             // for the operator, when there is none
    bool forbidden = false;                          // it resolves, but not to where callbacks may go
    bool too_busy = false;                           // it was not looked up: no fault of the host's
  };
  /// `host` is a name or an address without brackets. A good result is kept for half a minute; those who wait
  /// for the same name wait for one lookup. `owner`: the client it is for; no client's names take all
  /// threads.
  awaitable<resolved> resolve(std::string host, std::uint16_t port, std::int64_t owner,
                              steady_clock::duration timeout);
  /// Ends every wait, without a result.
  void abandon();

 private:
  struct lookup;
  std::shared_ptr<lookup> find_or_start(const std::string& host, std::int64_t owner);
  void run_on_thread(std::shared_ptr<lookup> l, std::int64_t owner);
  resolved check(const lookup& l, std::uint16_t port) const;

  asio::io_context& loop_;
  const bool allow_private_;
  lru<std::shared_ptr<lookup>> lookups_;                    // of late, ended or not
  std::size_t waiting_ = 0;                                 // for a thread, or for its result
  std::unordered_map<std::int64_t, std::size_t> by_owner_;  // of these
  bool abandoned_ = false;
  asio::thread_pool names_{8};
};

}  // namespace relay
