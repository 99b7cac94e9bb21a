#pragma once

// A row of the public API, and one request on its way through its handler.

#include <span>
#include <string>
#include <string_view>

#include "common/engine/dialect.hpp"
#include "common/engine/word_list.hpp"
#include "server/handler_context.hpp"
#include "server/http/message.hpp"

namespace relay {

struct route;

struct call {
  handler_context& in;
  http::request& http;
  const route& on;
  std::string id;      // what "{id}" matched
  std::string key;     // what "{key}" matched
  caller_ptr by;       // null on routes that need no token
  const account& who;  // whose jobs; nobody's without a token
  /// Header fields that the response gets whether the handler ends in a reply or in an error.
  std::vector<std::pair<std::string_view, std::string>> headers;
};

/// A request whose body is still to come.
struct body_to_come {
  handler_context& in;
  const http::request& http;
  std::string_view id, key;  // in the path
  const account* who;        // null on routes that need no token
};

enum class access : std::uint8_t { open, token };

/// What a handler ends in; an error is rendered by the request handler, in the route's dialect.
using handled = result<http::reply>;

struct route {
  http::verb method;
  std::string_view pattern;
  std::string_view name;  // for metrics and logs
  access needs;
  const dialect* speaks;
  awaitable<handled> (*handle)(call&);
  const action* creates = nullptr;   // what a create asks for
  const task_form* shows = nullptr;  // how a read shows a task; null: as the dialect does
  const word_list* words = nullptr;  // what a list of words is
  /// How a body is received that did not come with its head; null: into memory.
  result<http::body_plan> (*receive)(const body_to_come&) = nullptr;

  const task_form& form() const { return shows != nullptr ? *shows : *speaks->shown; }
};

/// All routes of a listener, and what is said where none matches.
struct route_table {
  std::span<const route> rows;
  /// The path as the table has it: some clients have prefixes built in. `changed` holds it if it had to be
  /// made anew.
  std::string_view (*canonical)(std::string_view path, std::string& changed);
  /// The dialect of errors on a path without a route.
  const dialect& (*spoken_at)(std::string_view path);
  std::string_view hint;  // where the API is, for a 404
  /// What stands below these is of the API; what of it has no route is not served here.
  std::span<const std::string_view> prefixes{};
};

}  // namespace relay
