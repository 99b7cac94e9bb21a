#pragma once

// The connections to one upstream, shared by its keys: made when they are needed and kept for a while, at
// most so many in all. Who finds none free waits for the first that is given back or made. Loop thread.

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "common/base/time.hpp"
#include "common/base/url.hpp"
#include "server/upstream/connection.hpp"
#include "server/upstream/host_addresses.hpp"

namespace relay {

struct pool_settings {
  base_url to;
  std::optional<proxy_address> through;  // nullopt: directly
  std::string ca_file;                   // empty: the system's
  std::string ca_content;                // of that file: another one makes another pool
  std::size_t max_connections = 256;
  milliseconds connect_timeout{5'000};  // for name, TCP, proxy and TLS, each
  milliseconds idle_timeout{4'000};

  friend bool operator==(const pool_settings&, const pool_settings&) = default;
};

class connection_pool : public std::enable_shared_from_this<connection_pool> {
 public:
  /// Throws boost::system::system_error when the CA file cannot be used.
  connection_pool(asio::io_context& loop, deadlines& d, resolver& names, pool_settings s);

  /// A connection, for one exchange. Closed by destruction, unless it was given back.
  class lease {
   public:
    explicit lease(std::shared_ptr<connection_pool> of) : pool_(std::move(of)) {}
    lease(lease&&) = default;
    lease& operator=(lease&&) = delete;
    ~lease();

    explicit operator bool() const { return conn_ != nullptr; }
    connection& operator*() const { return *conn_; }
    /// It had carried an exchange before.
    bool reused() const { return conn_ && conn_->used; }
    /// Another exchange may follow on it.
    void give_back();
    /// Why there is none: no byte of the request has left.
    std::string problem;
    bool all_in_use = false;  // for want of a free one: it says nothing of the upstream

   private:
    friend class connection_pool;
    std::shared_ptr<connection_pool> pool_;
    std::unique_ptr<connection> conn_;
  };
  /// `for_create`: one that was made or used within the last second and shows no end; it is served before the
  /// others that wait.
  awaitable<lease> get(bool for_create);
  /// Where one is dead, those that were kept as long are dead too.
  void drop_kept();
  /// Closes what was kept for too long. To be called once in a while.
  void prune();

  const pool_settings& settings() const { return settings_; }
  /// Connections that are open, or being made.
  std::size_t open() const { return open_; }
  /// Connections that were made since the start, and those of them that went on with a TLS session.
  std::uint64_t made_so_far() const { return made_; }
  std::uint64_t resumed() const { return resumed_; }

 private:
  struct made {
    std::unique_ptr<connection> conn;
    std::string problem;
  };
  struct waiter;
  struct race;

  std::unique_ptr<connection> take_kept(bool for_create);
  void dial_for_waiters();
  awaitable<> dial();
  awaitable<made> connect();
  awaitable<made> connect_to_any(const std::vector<asio::ip::tcp::endpoint>& to, const std::string& name);
  awaitable<> attempt(std::shared_ptr<race> r, std::unique_ptr<connection> c, asio::ip::tcp::endpoint to);
  awaitable<std::string> pass_proxy(connection& c);
  awaitable<std::string> begin_tls(connection& c, tls_client& tls, const std::string& host,
                                   const std::string& name);
  void take_back(std::unique_ptr<connection> c, bool reusable);
  bool serve_waiter(std::unique_ptr<connection>& c);
  void fail_waiters(const std::string& problem);

  asio::io_context& loop_;
  deadlines& deadlines_;
  const pool_settings settings_;
  std::unique_ptr<tls_client> tls_, tls_of_proxy_;  // null: plain
  std::shared_ptr<host_addresses> addresses_;       // of the upstream, or of the proxy
  std::deque<std::unique_ptr<connection>> kept_;    // the last used at the back
  std::deque<waiter*> waiters_;                     // creates first
  std::size_t open_ = 0;                            // leased, kept and being made
  std::size_t dialling_ = 0;
  bool failing_ = false;  // the last that ended could not be made, others are still being made
  std::uint64_t made_ = 0, resumed_ = 0;
};

}  // namespace relay
