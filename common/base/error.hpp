#pragma once

// Expected failures, as values. An error has two texts of different types, so that they cannot be swapped:
// what the client may read, and what the operator needs. Neither ever holds a secret.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace relay {

enum class errc : std::uint8_t {
  invalid_request,        // 400: breaks a rule of the API, or is not readable at all
  invalid_fields,         // 422: a field has the wrong type or shape
  unauthorized,           // 401
  insufficient_credits,   // 402
  forbidden,              // 403
  not_found,              // 404: no such path
  task_not_found,         // 404: no such task for this token
  method_not_allowed,     // 405
  request_timeout,        // 408
  conflict,               // 409
  body_too_large,         // 413
  target_too_long,        // 414
  unsupported_type,       // 415
  expectation_failed,     // 417
  rate_limited,           // 429
  header_too_large,       // 431
  upstream_rejected,      // the upstream's own 4xx, carried in `error::status`
  internal,               // 500
  upstream_unavailable,   // 503: no upstream can take the job now
  overloaded,             // 503: a queue of ours is full
  storage_unavailable,    // 503: the database cannot take a write now
  disk_full,              // 503: because its disk is full
  assets_full,            // 507: no room for a file
  version_not_supported,  // 505
};

struct errc_info {
  std::string_view code;  // the word in `error.code`
  int status;             // HTTP status, RFC 9110 §15
};

/// The one table from code to status.
const errc_info& info(errc code);

/// What a client reads: what was wrong, where, what is allowed.
struct client_text {
  std::string text;
};

/// What an operator reads: what was tried, against whom, the code, what happens next.
struct log_text {
  std::string text;
};

/// One field that was wrong, in the form of a pydantic v2 error: what FastAPI responds with.
struct violation {
  std::string type;              // "missing", "string_too_short", …
  std::vector<std::string> loc;  // {"body", "media", "url"}
  std::string msg;
  std::string input;  // what was sent, as text, cut to 200 bytes

  friend bool operator==(const violation&, const violation&) = default;
};

struct error {
  errc code = errc::internal;
  client_text message;
  log_text log;
  std::vector<violation> violations;
  int status = 0;               // overrides the table's when not 0
  int retry_after_seconds = 0;  // sent as Retry-After when not 0
  bool may_retry = true;        // false: `x-should-retry: false`, because a job may exist

  int http_status() const { return status != 0 ? status : info(code).status; }
};

template <class T>
using result = std::expected<T, error>;

/// An error whose log text says no more than the client's.
std::unexpected<error> fail(errc code, std::string message);

}  // namespace relay
