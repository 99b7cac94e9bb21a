#pragma once

// One upstream: its address, its key, its kept connections, and one exchange with it. What is sent and what a
// response means is decided by its protocol and by engine/outcome. Loop thread.

#include <memory>
#include <string>
#include <vector>

#include "common/engine/protocol.hpp"
#include "config/config.hpp"
#include "server/upstream/host_addresses.hpp"
#include "server/upstream/run_exchange.hpp"

namespace relay {

class upstream {
 public:
  /// Throws boost::system::system_error when the CA file cannot be used.
  upstream(asio::io_context& loop, deadlines& d, resolver& names, const upstream_config& c,
           const protocol& p);

  const std::string& name() const { return config_.name; }
  const upstream_config& settings() const { return config_; }
  const protocol& speaks() const { return protocol_; }

  /// A create. Goes out at most once, on a connection that is new or was checked a moment ago.
  awaitable<exchange> create(const outgoing& what);
  /// A GET. Sent again, once, when a kept connection turns out to be dead.
  awaitable<exchange> fetch(const std::string& path);
  /// A DELETE. Sent again as a GET is: it means the same twice.
  awaitable<exchange> remove(const std::string& path);
  /// A GET of a page of its list, of up to 64 MiB, which goes to `sink` as it comes.
  awaitable<exchange> fetch_list(const std::string& path, body_sink sink);

 private:
  struct leased {
    std::unique_ptr<connection> conn;
    std::string problem;  // when there is none
  };

  awaitable<exchange> ask(std::string_view method, const std::string& path);
  awaitable<leased> lease(steady_clock::duration freshness);
  awaitable<exchange> one_exchange(const std::string& request, steady_clock::duration freshness,
                                   bool& was_reused, body_sink sink = {});
  std::string make_request(std::string_view method, const std::string& path, std::string_view body) const;
  std::string target(const std::string& path) const;

  asio::io_context& loop_;
  deadlines& deadlines_;
  const upstream_config config_;
  const protocol& protocol_;
  std::unique_ptr<tls_client> tls_;  // null: plain
  host_addresses addresses_;
  std::vector<std::unique_ptr<connection>> idle_;  // the last used at the back
};

}  // namespace relay
