#pragma once

// From a parsed request to an answer: the route, the token, the handler, and what every answer gets (CORS,
// errors in the client's shape). What a handler needs of the house is in `services`. Loop thread.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/luma/dialect.hpp"
#include "config/config.hpp"
#include "server/auth.hpp"
#include "server/background/dispatcher.hpp"
#include "server/http/router.hpp"
#include "server/http/session.hpp"
#include "server/metrics.hpp"
#include "server/rendered.hpp"
#include "server/stream_count.hpp"
#include "server/watch.hpp"
#include "storage/store.hpp"

namespace relay {

struct services {
  const config& settings;
  store& tasks;
  token_registry& tokens;
  dispatcher& submit;
  watch& changes;
  rendered_tasks& rendered;
  metrics& figures;
  spdlog::logger& log;
  stream_count& streams;
  std::function<bool()> ready;
  /// Empty: new jobs are taken; else why not.
  std::function<std::string_view()> refuses_jobs;
  /// An upstream called about this task.
  std::function<void(const task&)> upstream_called;
};

struct route;

/// One request on its way through a handler.
struct call {
  services& in;
  http::request& http;
  const route& on;
  std::string id;   // what "{id}" matched
  std::string key;  // what "{key}" matched
  token who;        // the caller; only on routes that need a token
};

enum class access : std::uint8_t { open, token };

/// A row of the public API.
struct route {
  http::verb method;
  std::string_view pattern;
  std::string_view name;  // for metrics and logs
  access needs;
  dialect_id speaks;
  error_shape errors;
  endpoint asks_for;  // what a create on it asks for
  awaitable<http::reply> (*handle)(call&);
};

/// An error as an answer, with Retry-After, x-should-retry and WWW-Authenticate where they belong.
http::reply error_reply(const error& e, error_shape shape);

class front {
 public:
  front(services in, std::span<const route> table);

  awaitable<http::reply> handle(http::request& r);
  http::reply refuse(const error& e, std::string_view target) const;

 private:
  awaitable<http::reply> answer(http::request& r);
  void add_cors(const http::request& r, http::reply& out) const;
  error_shape shape_for(std::string_view path) const;
  static std::string_view canonical(std::string_view path, std::string& changed);

  services in_;
  std::span<const route> table_;
  std::vector<http::route_pattern> patterns_;
};

}  // namespace relay
