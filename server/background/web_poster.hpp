#pragma once

// One POST to an address on the web that is no upstream's: a client's callback, an operator's alert. A
// connection of its own each time. Loop thread.

#include <string>

#include "common/base/url.hpp"
#include "common/engine/exchange.hpp"
#include "server/background/callback_addresses.hpp"
#include "server/http/deadline.hpp"
#include "server/upstream/tls.hpp"

namespace relay {

class web_poster {
 public:
  /// `allow_private`: it may go to addresses that are not public.
  web_poster(asio::io_context& loop, deadlines& d, resolver& names, bool allow_private,
             std::chrono::milliseconds timeout)
      : loop_(loop), deadlines_(d), addresses_(names, allow_private), tls_("", false), timeout_(timeout) {}

  struct posted {
    exchange what;
    bool forbidden = false;  // it may not go to that address
    bool tried = true;       // false: its name was not looked up, because too many are
  };
  /// `request`: the whole of it. `owner`: of names that are looked up at once, each has a share.
  /// `status_is_enough`: the body of the response is not waited for. Throws std::runtime_error when OpenSSL
  /// fails.
  awaitable<posted> post(const web_address& to, const std::string& request, std::int64_t owner,
                         bool status_is_enough);

 private:
  asio::io_context& loop_;
  deadlines& deadlines_;
  callback_addresses addresses_;
  tls_client tls_;
  const std::chrono::milliseconds timeout_;
};

}  // namespace relay
