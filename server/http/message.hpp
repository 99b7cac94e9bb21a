#pragma once

// A request as handlers see it, and their response. Head and body go out in one write.

#include <boost/beast/http/verb.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/json.hpp"
#include "server/asio.hpp"
#include "server/http/header_fields.hpp"

namespace relay::http {

using boost::beast::http::verb;

/// Takes a body as it arrives, in place of memory.
class body_sink {
 public:
  virtual ~body_sink() = default;
  /// The next bytes; `part` lives until it has ended. An error is the response, and ends the connection.
  virtual awaitable<result<void>> take(std::string_view part) = 0;
  /// Bytes of it that are kept in memory until then.
  virtual std::size_t memory() const = 0;
  /// The body is whole: what stands for it in request::body.
  virtual awaitable<result<std::string>> finish() = 0;
};

struct request {
  verb method = verb::get;
  std::string_view method_name;
  std::string_view target;  // as sent
  std::string_view path;    // without the query, decoded, without a trailing slash
  std::string_view query;   // without the "?"
  std::string_view body;
  std::shared_ptr<body_sink> sink{};  // what took the body; null: all of it is in `body`
  const header_fields* headers = nullptr;
  std::string_view id;    // X-Request-Id, the client's or ours
  std::string_view peer;  // the client's address

  // Filled in on the way, for the access log.
  std::string_view route = "-";
  std::string account_name;
  std::string token_name;
  std::string task_id;
  std::string upstream;      // of that task
  std::string_view refusal;  // the code of the error that was answered; empty: there was none
  std::string why;           // its text

  /// The first of this name, in any case; empty: there is none.
  std::string_view header(std::string_view name) const;
};

/// What is known of a request that is refused before it has a route.
struct unrouted {
  std::string_view target;                 // may be empty
  const header_fields* headers = nullptr;  // null: they were not read
  bool asks_options = false;               // the method is OPTIONS
  std::string_view request_id{};
};

/// Where a response of no fixed length goes, a part at a time.
class body_stream {
 public:
  virtual ~body_stream() = default;
  /// False: the client is gone, or too slow; nothing more will arrive.
  virtual awaitable<bool> send(std::string_view part) = 0;
  /// True: the client does not read as fast as it is sent to; send() is likely to wait for it.
  virtual bool would_wait() = 0;
  /// The rest cannot be sent: the client is to see that the response is not whole.
  virtual void fail() = 0;
};

class reply {
 public:
  int status = 200;
  std::string_view content_type = "application/json";  // a literal
  std::string body;
  bool close = false;  // the connection ends after this response
  /// Set: the body is what this sends, in chunks; to an HTTP/1.0 client the connection ends with it.
  std::move_only_function<awaitable<>(body_stream&)> stream;
  /// The length of the stream, when it is known; then it is sent without chunks.
  std::optional<std::uint64_t> stream_bytes;

  /// Called when it was written whole, as far as this side can see.
  std::move_only_function<void()> on_written;

  /// The one writer of header fields beside those every response has. CR, LF and NUL in a value are left out.
  void add_header(std::string_view name, std::string_view value);
  const std::string& extra_headers() const { return extra_; }

 private:
  std::string extra_;
};

reply json_reply(int status, const json::object& body);

/// What is to become of a body that did not come with its head.
struct body_plan {
  std::optional<reply> refusal{};                     // it is not read at all
  std::optional<std::uint64_t> most{};                // bytes; more are a 413. nullopt: the listener's limit
  std::string_view why_most{};                        // said with that, if anything is
  std::optional<std::chrono::milliseconds> within{};  // to arrive in; nullopt: the listener's limit
  std::shared_ptr<body_sink> sink{};                  // null: memory
};

/// What every response carries.
struct reply_frame {
  std::string_view request_id;
  bool keep_alive = true;
  bool http_1_0 = false;
  bool head_only = false;  // HEAD: the length, not the body
};

/// The head of a response, appended to `out`. `date` is an IMF-fixdate (RFC 9110 §5.6.7).
void serialise_head(const reply& r, const reply_frame& frame, std::string_view date, std::string& out);
/// What follows the head at once: nothing to a HEAD, and where the body is a stream.
std::string_view body_after_head(const reply& r, const reply_frame& frame);

/// "Sun, 06 Nov 1994 08:49:37 GMT"
std::string http_date(std::int64_t unix_seconds);

/// The standard phrase; "Unknown" for a code that has none.
std::string_view reason_phrase(int status);

/// `name=value` in a query string, percent-decoded; nullopt when absent or wrongly encoded.
std::optional<std::string> query_value(std::string_view query, std::string_view name);

/// %XX decoded; nullopt when it is wrong or decodes to a control character.
std::optional<std::string> percent_decode(std::string_view text);

}  // namespace relay::http
