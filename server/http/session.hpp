#pragma once

// One client connection: reads requests one after the other, hands each to the application, and sends the
// responses in order. Rules H1 to H4: a strict head, limits on everything, absolute deadlines. Loop thread.

#include <functional>
#include <optional>
#include <string>

#include "common/base/addresses.hpp"
#include "common/base/byte_budget.hpp"
#include "server/asio.hpp"
#include "server/http/address_counts.hpp"
#include "server/http/deadline.hpp"
#include "server/http/head_validator.hpp"
#include "server/http/message.hpp"

namespace relay::http {

/// One line of the access log, after the response was written.
struct access_record {
  const request& of;
  int status;
  std::size_t bytes;
  std::chrono::microseconds took;  // from the whole head to the last byte of the response
};

/// What a listener serves.
struct application {
  std::function<awaitable<reply>(request&)> handle;
  /// Asked when the head is here and the body is not; `body` is empty.
  std::function<body_plan(request&)> plan_body = [](request&) { return body_plan{}; };
  /// The response to what is refused before it has a route.
  std::function<reply(const error&, const unrouted&)> refuse;
  std::function<void(const access_record&)> log = [](const access_record&) {};
  /// Something an operator should know.
  std::function<void(const log_text&)> problem = [](const log_text&) {};
};

struct session_limits {
  head_limits head;
  std::uint64_t body_bytes = 1024 * 1024;
  steady_clock::duration header{std::chrono::seconds(10)};
  steady_clock::duration body{std::chrono::seconds(30)};
  steady_clock::duration write{std::chrono::seconds(30)};
  steady_clock::duration idle{std::chrono::seconds(75)};
};

/// Shared by all sessions of a process; loop thread.
class session_shared {
 public:
  /// `body_memory`: bytes of the bodies that are being received, of all sessions together.
  explicit session_shared(deadlines& d, std::size_t body_memory = std::size_t{256} << 20)
      : all_deadlines(d), bodies(body_memory) {}

  deadlines& all_deadlines;
  byte_budget bodies;
  /// The date header's text, made once a second.
  std::string_view date();
  /// A request id of ours.
  std::string next_id();

 private:
  std::int64_t date_of_ = -1;
  std::string date_;
  std::string id_prefix_;
  std::uint64_t next_ = 0;
};

/// A connection of a trusted proxy: each request is somebody else's.
struct behind_proxy {
  const address_set& trusted;
  address_counts& requests;  // under way
};

class session {
 public:
  /// `proxied`: null unless the peer is a trusted proxy; outlives the session.
  session(stream_socket socket, std::string peer, const application& app, const session_limits& limits,
          session_shared& shared, const behind_proxy* proxied = nullptr);

  /// Until the connection ends.
  awaitable<> run();

  /// Ends it: at once when no request is in flight, else after its response.
  void drain();
  /// Ends it at once.
  void abort();

 private:
  enum class verdict : std::uint8_t { next, end };  // of the connection
  class chunks;
  struct incoming;

  awaitable<verdict> one_request();
  awaitable<verdict> respond(incoming& message, request& r, bool waits, steady_clock::time_point started);
  std::optional<std::string> client_of(const header_fields& headers) const;
  awaitable<verdict> receive_body(incoming& message, request& r, bool waits);
  result<bool> take_body(incoming& message, const body_sink* sink);
  awaitable<result<bool>> pass_body(incoming& message, const request& r);
  bool came_whole(incoming& message) const;
  awaitable<verdict> read_body(incoming& message, request& r, bool send_continue, body_plan& plan);
  void keep_head(incoming& message, request& r);
  awaitable<verdict> read_head();
  awaitable<bool> read_more(std::size_t step);
  void release_buffers();
  awaitable<verdict> refuse(const error& e, unrouted what);
  awaitable<verdict> send_last(const reply& response, const request& r);
  awaitable<bool> send(std::string_view after = {});
  awaitable<> linger();
  static void on_deadline(void* self);
  std::string_view request_id(std::string_view wanted);

  stream_socket socket_;
  const std::string peer_;
  const application& app_;
  const session_limits& limits_;
  session_shared& shared_;
  const behind_proxy* const proxied_;
  deadlines::entry deadline_;

  std::string in_;             // bytes read and not yet used
  std::size_t head_size_ = 0;  // of the request at the front of in_
  std::string out_;
  std::string id_;
  bool timed_out_ = false;
  bool idle_ = true;  // no byte of a request has come
  bool draining_ = false;
};

}  // namespace relay::http
