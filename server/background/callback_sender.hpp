#pragma once

// Sends one callback to a client: the message (Standard Webhooks), the address, the exchange. Loop thread.

#include <optional>
#include <string>

#include "common/base/url.hpp"
#include "common/engine/events.hpp"
#include "config/config.hpp"
#include "server/background/web_poster.hpp"
#include "server/http/deadline.hpp"
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
  awaitable<std::string> make_request(const task& t, const web_address& to);

  deadlines& deadlines_;
  store& store_;
  web_poster poster_;
};

}  // namespace relay
