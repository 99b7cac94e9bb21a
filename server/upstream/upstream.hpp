#pragma once

// One upstream under one of its keys, and one exchange with it. Its connections are shared with the other
// keys (connection_pool). What is sent and what a response means is decided by its protocol and by
// engine/outcome. It stays where it is while the relay runs, also when the configuration does not name it any
// more. Loop thread.

#include <memory>
#include <string>

#include "common/engine/protocol.hpp"
#include "common/engine/rate.hpp"
#include "config/config.hpp"
#include "server/upstream/connection_pool.hpp"
#include "server/upstream/run_exchange.hpp"

namespace relay {

class upstream {
 public:
  /// `c`: of one key (one_for_each_key).
  upstream(deadlines& d, upstream_config c, const protocol& p, std::shared_ptr<const outgoing_settings> with,
           std::shared_ptr<connection_pool> pool);

  /// "luma", or "luma/second": as jobs on disk name it.
  const std::string& name() const { return name_; }
  const upstream_config& settings() const { return *config_; }
  const protocol& speaks() const { return protocol_; }
  /// What every submission is made with; a reload replaces it.
  std::shared_ptr<const outgoing_settings> sends_with() const { return with_; }
  const std::shared_ptr<connection_pool>& connections() const { return pool_; }

  /// From the next exchange on. The protocol stays.
  void change(upstream_config c, std::shared_ptr<const outgoing_settings> with,
              std::shared_ptr<connection_pool> pool);
  /// The configuration does not name it any more: its jobs cannot be polled.
  void remove() { configured_ = false; }
  bool configured() const { return configured_; }

  /// Of polls_per_second: whatever asks it about a job on its own account takes one first.
  rate& polls() { return polls_; }

  /// A create. Goes out at most once, on a connection that is new or was used a moment ago.
  awaitable<exchange> create(const outgoing& what);
  /// A GET. Sent again, once, when a kept connection turns out to be dead.
  awaitable<exchange> fetch(const std::string& path);
  /// A DELETE. Sent again as a GET is: it means the same twice.
  awaitable<exchange> remove(const std::string& path);
  /// A GET of a page of its list, of up to 64 MiB, which goes to `sink` as it comes.
  awaitable<exchange> fetch_list(const std::string& path, body_sink sink);

 private:
  awaitable<exchange> ask(std::string_view method, const std::string& path);
  awaitable<exchange> one_exchange(std::string_view method, const std::string& path, std::string_view body,
                                   bool& was_reused, body_sink sink = {}, std::string_view traceparent = {});
  std::string make_request(std::string_view method, const std::string& path, std::string_view body,
                           std::string_view traceparent) const;

  deadlines& deadlines_;
  const std::string name_;
  const protocol& protocol_;
  std::shared_ptr<const upstream_config> config_;
  std::shared_ptr<const outgoing_settings> with_;
  std::shared_ptr<connection_pool> pool_;
  rate polls_;
  bool configured_ = true;
};

}  // namespace relay
