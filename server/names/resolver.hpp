#pragma once

// Names to addresses, for upstreams and for callbacks: one cache, one lookup for all that wait for a name.
// No client's names take all the places. Loop thread.

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/lru.hpp"
#include "server/names/lookup.hpp"

namespace relay {

class resolver {
 public:
  /// Lookups of clients' names at once; each has a socket or two.
  static constexpr std::size_t most_at_once = 64;
  static constexpr std::size_t most_of_one_owner = 16;

  /// `servers`: none: those of /etc/resolv.conf.
  resolver(asio::io_context& loop, name_servers servers);
  ~resolver();

  struct found {
    std::vector<asio::ip::address> addresses;
    std::string problem;    // when there are none
    bool looked_up = true;  // false: too many others were, or the relay stops; it says nothing of the name
  };
  /// `host` is a name, or an address without brackets. What was found is kept for half a minute, a failure is
  /// not. A lookup that nothing waits for any more is ended. `owner`: the client whose name it is; nullopt:
  /// it is in the configuration, and is looked up whatever clients do.
  awaitable<found> look_up(std::string host, std::optional<std::int64_t> owner,
                           steady_clock::duration timeout);
  /// Ends every wait, without a result; for good.
  void abandon();

 private:
  struct entry;
  bool may_begin(std::optional<std::int64_t> owner) const;
  void begin(const std::shared_ptr<entry>& e);
  void end(entry& e);

  asio::io_context& loop_;
  const name_servers servers_;
  lru<std::shared_ptr<entry>> known_;                       // of late, ended or not
  std::size_t running_ = 0;                                 // lookups of clients' names
  std::unordered_map<std::int64_t, std::size_t> by_owner_;  // of these
  bool abandoned_ = false;
};

}  // namespace relay
