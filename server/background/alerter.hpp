#pragma once

// Tells an operator of troubles, unasked: looks every few seconds at what holds (engine/alerts), and sends
// what is to be said to the address of [alerts], in the words of the service behind it. Loop thread.

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/url.hpp"
#include "common/engine/alert_formats.hpp"
#include "config/config.hpp"
#include "server/background/wake_timer.hpp"
#include "server/background/web_poster.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class alerter {
 public:
  /// `relay`: which one it is, for the reader. `holds`: the troubles of now.
  alerter(asio::io_context& loop, deadlines& d, resolver& names, const alerts_config& c, std::string relay,
          std::function<std::vector<condition>()> holds, spdlog::logger& log);

  /// Until stop(). Without an address it does nothing.
  awaitable<> run();
  void stop();
  std::size_t in_flight() const { return sending_ ? 1 : 0; }

 private:
  awaitable<> send_next(timestamp time);
  /// Why it was not taken; empty: it was. `is_final`: another attempt is likely to end the same.
  struct outcome {
    std::string why;
    bool is_final = false;
  };
  awaitable<outcome> send(const std::vector<alert>& what);

  const alerts_config config_;
  const std::string relay_;
  const std::function<std::vector<condition>()> holds_;
  spdlog::logger& log_;
  web_poster poster_;
  alert_book book_;
  struct message {
    std::vector<alert> what;
    timestamp since;
    int attempts = 0;
    int refusals = 0;  // attempts that the service itself refused
  };
  std::deque<message> unsent_;
  timestamp next_attempt_;
  wake_timer wake_;
  bool sending_ = false;
  bool stopped_ = false;
};

}  // namespace relay
