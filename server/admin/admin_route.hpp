#pragma once

// A row of the admin API, and one request on its way through its handler.

#include <string>
#include <string_view>

#include "server/admin/admin_context.hpp"
#include "server/admin/shape.hpp"
#include "server/http/message.hpp"

namespace relay {

struct admin_route;

struct admin_call {
  const admin_context& in;
  const admin_route& on;
  const admin_identity by;
  const std::string first, second;  // what stands in the path for the names in "{…}"
  const json::object query, body;   // as the shapes of the route say
  const std::string if_match;       // empty: not sent
  const std::string request_id;
  const std::string idempotency_key;  // empty: not sent
  const sha256_digest request;        // what the key stands for

  /// The row of a change; `before` and `after` are what was and will be there, without secrets.
  audit_ptr audit(std::string target, const json::object& before, const json::object& after) const;
  /// A text, a number, a flag of the body or the query; what is not there is empty, `otherwise`, false.
  std::string text(std::string_view name) const;
  std::int64_t number(std::string_view name, std::int64_t otherwise) const;
  bool flag(std::string_view name) const;
};

struct admin_response {
  json::object body{};
  int status = 200;
  std::string etag{};
  std::string location{};
  /// In place of `body`, when it has a content type.
  http::reply other{};
  bool is_other = false;
};
using admin_result = result<admin_response>;

/// What a route returns beside an object: a file, or a table.
struct other_media {
  std::string_view type;
  std::string_view about;
};

struct admin_route {
  http::verb method;
  std::string_view pattern;    // below /admin/v1
  std::string_view operation;  // operationId
  admin_role needs;
  std::string_view about;
  const shape* query;    // null: it has none
  const shape* body;     // null: it has none
  const shape* returns;  // null: `media` alone
  awaitable<admin_result> (*handle)(admin_call&);
  int status = 200;
  bool has_etag = false;    // of what can be changed; If-Match is looked at
  bool local_only = false;  // by the Unix socket alone
  const other_media* media = nullptr;
  bool waits_its_turn = true;  // a change: after those that came before

  bool changes() const { return method != http::verb::get; }
};

/// All of them.
std::span<const admin_route> admin_route_table();
inline constexpr std::string_view admin_prefix = "/admin/v1";

/// `"…"`, of what can be changed. Errors: 412 when the request says If-Match and means another.
result<void> check_match(const admin_call& c, std::string_view etag);

}  // namespace relay
