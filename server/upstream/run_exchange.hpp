#pragma once

// One request and its response on an HTTP/1.1 connection. Used for upstreams and for clients' callbacks; what
// a response means is decided elsewhere. Loop thread.

#include <functional>
#include <string>
#include <string_view>

#include "common/engine/exchange.hpp"
#include "server/upstream/connection.hpp"

namespace relay {

struct exchange_limits {
  steady_clock::duration first_byte{std::chrono::seconds(30)};  // from the first byte sent
  steady_clock::duration total{std::chrono::seconds(60)};
  std::uint64_t response_bytes = 1024 * 1024;
  bool status_is_enough = false;  // the response's body is not waited for
};

/// Takes the body of a response with status 200 as it comes, so that it need not fit into memory.
using body_sink = std::function<void(std::string_view part)>;

/// `request` is the whole request. `reusable`: another may follow on the connection. A peer that responds and
/// ends the connection before it has read the request has responded: RFC 9112 §9.5.
awaitable<exchange> run_exchange(connection& c, const std::string& request, exchange_limits limits,
                                 bool& reusable, body_sink sink = {});

/// "timed out", or the error's own text.
std::string describe(const boost::system::error_code& ec, bool timed_out);

}  // namespace relay
