#pragma once

// The admin API: from a parsed request to a reply. It runs in a relay, for those who reach its admin listener
// or its Unix socket, and in the command line, when no relay has the database. Changes are made one after the
// other. Loop thread.

#include <expected>
#include <string>
#include <vector>

#include "server/admin/admin_route.hpp"
#include "server/http/router.hpp"

namespace relay {

class admin_api {
 public:
  explicit admin_api(admin_context in);
  admin_api(const admin_api&) = delete;
  admin_api& operator=(const admin_api&) = delete;

  /// `target`: as it was sent.
  static bool serves(std::string_view target) { return target.starts_with(admin_prefix); }

  /// `is_local`: by the Unix socket, or the command itself, without a token. Errors are problems (RFC 9457).
  awaitable<http::reply> handle(http::request& r, bool is_local);
  /// Without a route, a token and its role nothing of a body is read.
  http::body_plan plan_body(http::request& r, bool is_local);
  /// What is refused before it has a route.
  http::reply refuse(const error& e, std::string_view request_id) const;

 private:
  struct admitted {
    const admin_route* on;
    admin_identity by;
    std::string first, second;
  };
  struct refused {
    error why;
    std::string allow;  // methods that the path has, when the error is about that
  };
  std::expected<admitted, refused> admit(http::request& r, bool is_local) const;
  awaitable<http::reply> respond(http::request& r, admitted in);
  awaitable<http::reply> change(http::request& r, admin_call& c);
  awaitable<http::reply> run(http::request& r, admin_call& c);

  const admin_context in_;
  std::vector<http::route_pattern> patterns_;
  // Of those that wait to change something.
  std::uint64_t tickets_ = 0, next_ = 0;
  steady_timer turn_;
};

}  // namespace relay
