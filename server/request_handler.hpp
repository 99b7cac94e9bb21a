#pragma once

// From a parsed request to a reply: the route, the token, the handler, and what every reply gets (errors in
// the client's dialect, CORS). Loop thread.

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "server/http/router.hpp"
#include "server/route.hpp"

namespace relay {

/// Who calls a listener: clients, from browsers too (CORS); or operators and their tools, which call it by
/// one of its own names.
enum class audience : std::uint8_t { clients, operators };

class request_handler {
 public:
  request_handler(handler_context in, const route_table& table, audience a);

  awaitable<http::reply> handle(http::request& r);
  /// What becomes of a body that is still to come: without a route or a token nothing of it is read.
  http::body_plan plan_body(http::request& r);
  /// The reply to what is refused before it has a route.
  http::reply refuse(const error& e, const http::unrouted& r) const;

 private:
  struct outcome {
    handled ended;
    const dialect* spoken = nullptr;  // of the route; null: there is none
    std::vector<std::pair<std::string_view, std::string>> headers{};
  };

  /// Where a request goes, and who sent it.
  struct admitted {
    const route* on = nullptr;
    std::string id, key;  // in the path
    caller_ptr by;        // null on routes that need no token
    std::vector<std::pair<std::string_view, std::string>> headers{};
  };
  /// `counts`: the request counts in the limits of its account and token.
  std::expected<admitted, outcome> admit(http::request& r, std::string& changed, bool counts) const;
  http::reply reply_of(http::request& r, outcome done) const;
  outcome not_routed(const http::route_match& found, http::request& r) const;
  bool is_own_name(std::string_view host) const;
  bool any_origin() const;
  bool allow_origin(std::string_view origin, http::reply& out) const;
  void add_cors(const http::request& r, http::reply& out) const;
  static void allow_preflight(std::string_view method, std::string_view headers, http::reply& out);

  handler_context in_;
  const route_table& table_;
  const audience audience_;
  std::vector<http::route_pattern> patterns_;
};

}  // namespace relay
