#pragma once

// Sends one callback to a client: the message (Standard Webhooks), the address, the exchange. Loop thread.

#include <optional>
#include <string>

#include "common/base/url.hpp"
#include "common/engine/events.hpp"
#include "common/engine/exchange.hpp"
#include "config/config.hpp"
#include "server/background/callback_addresses.hpp"
#include "server/http/deadline.hpp"
#include "server/upstream/tls.hpp"
#include "storage/store.hpp"

namespace relay {

class callback_sender {
 public:
  callback_sender(asio::io_context& loop, deadlines& d, resolver& names, store& s, const callbacks_config& c);

  /// What came of the oldest pending callback of the task. `event`: nullopt: it was not tried, because the
  /// relay stops or is too busy. `responded`: the host responded, whatever it said.
  struct sent {
    std::optional<task_event> event;
    bool tried = false;
    bool responded = false;
  };
  /// Throws std::runtime_error when the client's token cannot be read, or OpenSSL fails.
  awaitable<sent> send(const task& t);

 private:
  struct posted {
    exchange what;
    bool forbidden = false;  // callbacks may not go to that address
    bool tried = true;
  };
  awaitable<std::string> make_request(const task& t, const web_address& to);
  awaitable<posted> post(const web_address& to, const std::string& request, std::int64_t owner);

  asio::io_context& loop_;
  deadlines& deadlines_;
  store& store_;
  const callbacks_config config_;
  callback_addresses addresses_;
  tls_client tls_;
};

}  // namespace relay
