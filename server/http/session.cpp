#include "server/http/session.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <random>

#include "common/base/ascii.hpp"
#include "server/http/chunk_decoder.hpp"

namespace relay::http {
namespace {

constexpr std::size_t read_step = 4 * 1024;
constexpr std::size_t sink_step = 64 * 1024;                 // of a body that is not kept
constexpr std::size_t idle_capacity = 1'000;                 // with its end a size that allocators have
constexpr std::size_t linger_bytes = std::size_t{32} << 20;  // a browser sends all of a body before it reads
constexpr std::size_t linger_step = 16 * 1024;

// More space at the end, not filled with zeros.
void grow(std::string& text, std::size_t by) {
  text.resize_and_overwrite(text.size() + by,
                            [have = text.size(), by](char*, std::size_t) { return have + by; });
}

error bad(errc code, std::string message) {
  error e;
  e.code = code;
  e.message.text = std::move(message);
  return e;
}

constexpr char_set request_id_characters("-_.");

bool valid_request_id(std::string_view id) {
  return id.size() <= 128 && request_id_characters.makes(id);
}

}  // namespace

std::string_view session_shared::date() {
  const auto now =
      std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()).time_since_epoch().count();
  if (now != date_of_) {
    date_of_ = now;
    date_ = http_date(now);
  }
  return date_;
}

std::string session_shared::next_id() {
  static constexpr char hex[] = "0123456789abcdef";
  if (id_prefix_.empty()) {
    std::random_device random;
    for (int i = 0; i < 8; ++i) id_prefix_ += hex[random() & 15];
  }
  constexpr std::size_t digits = 10;
  std::string id(id_prefix_.size() + 1 + digits, '-');
  id_prefix_.copy(id.data(), id_prefix_.size());
  std::uint64_t n = ++next_;
  for (std::size_t i = 1; i <= digits; ++i, n >>= 4) id[id.size() - i] = hex[n & 15];
  return id;
}

session::session(stream_socket socket, std::string peer, const application& app, const session_limits& limits,
                 session_shared& shared, const behind_proxy* proxied)
    : socket_(std::move(socket)),
      peer_(std::move(peer)),
      app_(app),
      limits_(limits),
      shared_(shared),
      proxied_(proxied),
      deadline_(shared.all_deadlines, &session::on_deadline, this) {}

void session::on_deadline(void* self) {
  auto& s = *static_cast<session*>(self);
  s.timed_out_ = true;
  boost::system::error_code ignored;
  s.socket_.cancel(ignored);
}

void session::drain() {
  draining_ = true;
  if (idle_) abort();
}

void session::abort() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

awaitable<> session::run() {
  // What a request takes is there only while there is one: an idle connection waits in read_head().
  for (;;) {
    if (co_await read_head() == verdict::end) break;
    if (co_await one_request() == verdict::end) break;
    // Requests that are here already still get a response while the relay stops.
    if (draining_ && in_.empty()) break;
  }
  abort();
}

// An idle connection keeps what most heads fit into, and no more.
void session::release_buffers() {
  if (in_.capacity() > idle_capacity) std::string().swap(in_);
  in_.reserve(idle_capacity);
  if (out_.capacity() > idle_capacity / 2) std::string().swap(out_);
}

awaitable<bool> session::read_more(std::size_t step) {
  const std::size_t have = in_.size();
  grow(in_, step);
  auto [ec, n] = co_await socket_.async_read_some(asio::buffer(in_.data() + have, step), as_result);
  in_.resize(have + (ec ? 0 : n));
  // A read that was done before its deadline's cancel still counts as late; one that was done before a drain
  // found the connection idle is not served any more.
  if (ec || timed_out_ || (draining_ && idle_)) co_return false;
  if (idle_) {  // the first byte of a request: its head has its own time
    idle_ = false;
    deadline_.arm(limits_.header);
  }
  co_return true;
}

// Fills in_ until it begins with a whole head.
awaitable<session::verdict> session::read_head() {
  std::size_t seen = 0;
  // A connection may be idle for long; a head that has begun must end soon.
  idle_ = in_.empty();
  if (idle_) release_buffers();
  deadline_.arm(idle_ ? limits_.idle : limits_.header);
  for (;;) {
    if (seen == 0 && in_.starts_with("\r\n")) in_.erase(0, 2);  // RFC 9112 §2.2
    const auto end = find_head_end(in_, seen, limits_.head);
    if (!end) co_return co_await refuse(end.error(), {});
    if (*end) {
      head_size_ = **end;
      co_return verdict::next;
    }
    seen = in_.size();
    if (co_await read_more(idle_ ? idle_capacity : read_step)) continue;
    // The peer is gone, or was silent: only a head that has begun is worth a response.
    if (!timed_out_ || in_.empty()) co_return verdict::end;
    timed_out_ = false;
    const error late = bad(errc::request_timeout, "request: the head did not arrive in time");
    co_return co_await refuse(late, {});
  }
}

// A response's body as it comes. RFC 9112 §7.1.
class session::chunks final : public body_stream {
 public:
  chunks(session& s, bool framed) : session_(s), framed_(framed) {}

  awaitable<bool> send(std::string_view part) override {
    if (!alive_ || part.empty()) co_return alive_;
    std::string& out = session_.out_;
    out.clear();
    if (framed_) {
      char size[20];
      const int length = std::snprintf(size, sizeof size, "%zx\r\n", part.size());
      out.append(size, static_cast<std::size_t>(length));
    }
    out.append(part);
    if (framed_) out.append("\r\n");
    bytes_ += out.size();
    alive_ = co_await session_.send();
    co_return alive_;
  }
  bool would_wait() override {
    pollfd p{session_.socket_.native_handle(), POLLOUT, 0};
    return ::poll(&p, 1, 0) == 0;
  }
  void fail() override { alive_ = false; }
  awaitable<bool> finish() {
    if (!alive_ || !framed_) co_return alive_;
    session_.out_ = "0\r\n\r\n";
    co_return co_await session_.send();
  }
  std::size_t bytes() const { return bytes_; }

 private:
  session& session_;
  const bool framed_;
  bool alive_ = true;
  std::size_t bytes_ = 0;
};

// A request as it comes in. Its head and a body that came with it are views into the bytes that were read;
// they move when more is read, so the head of a request whose body is still to come is copied.
struct session::incoming {
  incoming(head h, byte_budget& memory) : of(std::move(h)), held(memory) {}

  head of;
  std::string own_head;                 // when the body did not come with it
  std::optional<chunk_decoder> chunks;  // of a body that did not come with it
  std::string gathered;                 // a body that came in parts, or its part that the sink gets next
  std::size_t received = 0;             // of a body of known length
  std::size_t at_front = 0;             // of the head, and of a body that came with it, in in_
  bool in_place = false;                // the body is there
  byte_budget::lease held;
  std::string decoded_path;  // when it had to be decoded
};

namespace {

// The request line. False: its path cannot be decoded.
bool read_line(const head& of, std::string& decoded_path, request& r) {
  r.method = boost::beast::http::string_to_verb({of.method.data(), of.method.size()});
  r.method_name = of.method;
  r.target = of.target;
  r.headers = &of.fields;
  // The path without its query, decoded, without a slash at its end.
  const auto mark = r.target.find('?');
  r.path = r.target.substr(0, mark);
  if (mark != std::string_view::npos) r.query = r.target.substr(mark + 1);
  if (r.path.find('%') != std::string_view::npos) {
    auto decoded = percent_decode(r.path);
    if (!decoded) return false;
    decoded_path = std::move(*decoded);
    r.path = decoded_path;
  }
  if (r.path.size() > 1 && r.path.ends_with('/')) r.path.remove_suffix(1);
  return true;
}

}  // namespace

awaitable<session::verdict> session::one_request() {
  const auto started = steady_clock::now();

  // 1. The head.
  auto checked = check_head(std::string_view(in_).substr(0, head_size_), limits_.head);
  if (!checked) co_return co_await refuse(checked.error(), {});
  const bool waits = checked->expects_continue && checked->has_body() && in_.size() == head_size_;
  incoming message(std::move(*checked), shared_.bodies);
  message.at_front = head_size_;
  request r;
  r.peer = peer_;
  if (!read_line(message.of, message.decoded_path, r)) {
    const error wrong =
        bad(errc::invalid_request,
            "request: the path is not valid percent-encoding, or encodes a control character");
    co_return co_await refuse(wrong, {r.target, r.headers});
  }
  // The client's own id of the request, when it is fit for a log line.
  r.id = request_id(r.header("X-Request-Id"));

  // Whose it is: a proxy's connection carries the requests of many.
  const auto client = client_of(message.of.fields);
  if (!client) co_return co_await respond(message, r, waits, started);
  r.peer = *client;
  if (!proxied_->requests.enter(*client)) {
    error many =
        bad(errc::rate_limited, "This address has too many requests under way; try again when one has ended");
    many.retry_after_seconds = 2;
    co_return co_await refuse(many, {r.target, r.headers});
  }
  const verdict v = co_await respond(message, r, waits, started);
  proxied_->requests.leave(*client);
  co_return v;
}

// Reading on may move what was read. The head was checked.
void session::keep_head(incoming& message, request& r) {
  message.own_head.assign(in_, 0, head_size_);
  message.of = *check_head(message.own_head, limits_.head);
  read_line(message.of, message.decoded_path, r);
}

// The address that a trusted proxy names.
std::optional<std::string> session::client_of(const header_fields& headers) const {
  if (proxied_ == nullptr) return std::nullopt;
  std::string all;
  for (const header_field& f : headers) {
    if (!iequals(f.name, "X-Forwarded-For")) continue;
    if (!all.empty()) all += ',';
    all += f.value;
  }
  return all.empty() ? std::nullopt : forwarded_for(all, proxied_->trusted);
}

// From the head to the end of the response.
awaitable<session::verdict> session::respond(incoming& message, request& r, bool waits,
                                             steady_clock::time_point started) {
  // 2. The body: most came with the head. Of one that did not, nothing is kept for those who may not send it.
  if (!came_whole(message)) {
    const verdict v = co_await receive_body(message, r, waits);
    if (v == verdict::end) co_return verdict::end;
  }
  deadline_.disarm();
  timed_out_ = false;  // what is whole came in time
  r.body = message.in_place ? std::string_view(in_).substr(head_size_, message.at_front - head_size_)
                            : std::string_view(message.gathered);

  // 3. The reply: one write; then a stream, if it is one.
  reply response = co_await app_.handle(r);
  const bool framed = message.of.minor_version > 0 && !response.stream_bytes;
  const bool has_end = framed || !response.stream || response.stream_bytes;
  const bool keep_alive = message.of.keep_alive && !response.close && has_end && !draining_;
  const reply_frame frame{r.id, keep_alive, message.of.minor_version == 0, r.method == verb::head};
  out_.clear();
  serialise_head(response, frame, shared_.date(), out_);
  const std::string_view body = body_after_head(response, frame);
  std::size_t bytes = out_.size() + body.size();
  bool sent = co_await send(body);
  if (sent && response.stream && !frame.head_only) {
    chunks to(*this, framed);
    co_await response.stream(to);
    sent = co_await to.finish();
    sent = sent && (!response.stream_bytes || to.bytes() == *response.stream_bytes);
    bytes += to.bytes();
  }

  // 4. What became of it, and of the connection.
  if (sent && response.on_written) response.on_written();
  app_.log({r, response.status, bytes,
            std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - started)});
  in_.erase(0, message.at_front);
  if (!sent) co_return verdict::end;
  if (keep_alive) co_return verdict::next;
  co_await linger();
  co_return verdict::end;
}

// True: there is no body, or all of it came with the head, and stays where it is.
bool session::came_whole(incoming& message) const {
  const auto length = static_cast<std::size_t>(message.of.content_length);
  message.in_place = !message.of.chunked && length <= limits_.body_bytes && in_.size() - head_size_ >= length;
  if (message.in_place) message.at_front += length;
  return message.in_place;
}

// Of a body that did not come with its head, nothing is kept for those who may not send it. `end`: the
// connection ends, with a response or without.
awaitable<session::verdict> session::receive_body(incoming& message, request& r, bool waits) {
  body_plan plan = app_.plan_body(r);
  if (plan.refusal) co_return co_await send_last(*plan.refusal, r);
  const std::uint64_t most = plan.most.value_or(limits_.body_bytes);
  if (message.of.content_length > most) {
    const error e = bad(errc::body_too_large, "body: longer than the " + std::to_string(most) +
                                                  " bytes that are allowed" + std::string(plan.why_most));
    co_return co_await refuse(e, {r.target, r.headers});
  }
  message.chunks.emplace(chunk_limits{.body_bytes = most});
  keep_head(message, r);
  r.sink = plan.sink;
  const verdict v = co_await read_body(message, r, waits, plan);
  if (v == verdict::end || !r.sink) co_return v;
  auto instead = co_await r.sink->finish();
  if (!instead) {
    r.sink = plan.sink = nullptr;
    co_return co_await refuse(instead.error(), {r.target, r.headers});
  }
  message.gathered = std::move(*instead);
  co_return verdict::next;
}

// Gathers what has arrived of the body; it counts against what all may have. True: it is whole. Errors:
// invalid_request, body_too_large, overloaded.
result<bool> session::take_body(incoming& message, const body_sink* sink) {
  const std::string_view here = std::string_view(in_).substr(message.at_front);
  const auto length = static_cast<std::size_t>(message.of.content_length);
  const std::size_t needed = sink != nullptr      ? 2 * sink_step + sink->memory()
                             : message.of.chunked ? message.gathered.size() + here.size()
                                                  : length;
  if (!message.held.hold(needed)) {
    error busy =
        bad(errc::overloaded, "The relay is receiving too many large requests; try again in a few seconds");
    busy.retry_after_seconds = 2;
    return std::unexpected(std::move(busy));
  }
  std::size_t used = 0;
  if (message.of.chunked) {
    const auto taken = message.chunks->feed(here, message.gathered);
    if (!taken) return std::unexpected(taken.error());
    used = *taken;
  } else {
    if (sink == nullptr) message.gathered.reserve(length);
    used = std::min(here.size(), length - message.received);
    message.gathered.append(here.substr(0, used));
    message.received += used;
  }
  in_.erase(message.at_front, used);
  return message.of.chunked ? message.chunks->done() : message.received == length;
}

// The same, with what was gathered passed on. Errors: those of the sink too.
awaitable<result<bool>> session::pass_body(incoming& message, const request& r) {
  const auto whole = take_body(message, r.sink.get());
  if (!whole || !r.sink || message.gathered.empty()) co_return whole;
  const auto passed = co_await r.sink->take(message.gathered);
  message.gathered.clear();
  if (!passed) co_return std::unexpected(passed.error());
  co_return whole;
}

// Reads until the body is whole.
awaitable<session::verdict> session::read_body(incoming& message, request& r, bool send_continue,
                                               body_plan& plan) {
  const steady_clock::duration within = plan.within ? steady_clock::duration(*plan.within) : limits_.body;
  deadline_.arm(within);
  for (;;) {
    const auto whole = co_await pass_body(message, r);
    if (!whole) {
      r.sink = plan.sink = nullptr;  // what it held is free before the response is read
      co_return co_await refuse(whole.error(), {r.target, r.headers});
    }
    if (*whole) co_return verdict::next;
    // There is room for it. The client waits for this before it sends the body. RFC 9110 §10.1.1.
    if (std::exchange(send_continue, false)) {
      out_ = "HTTP/1.1 100 Continue\r\n\r\n";
      if (!co_await send()) co_return verdict::end;
      deadline_.arm(within);
    }
    // The time may have passed while the sink was at work.
    if (!timed_out_ && co_await read_more(r.sink ? sink_step : read_step)) continue;
    if (!std::exchange(timed_out_, false)) co_return verdict::end;
    r.sink = plan.sink = nullptr;
    const error late = bad(errc::request_timeout, "body: it did not arrive in time");
    co_return co_await refuse(late, {r.target, r.headers});
  }
}

std::string_view session::request_id(std::string_view wanted) {
  id_ = valid_request_id(wanted) ? std::string(wanted) : shared_.next_id();
  return id_;
}

// Responds and closes: after a refusal it is not known where the next request begins.
awaitable<session::verdict> session::refuse(const error& e, unrouted what) {
  what.asks_options = in_.starts_with("OPTIONS ");
  what.request_id = request_id({});
  const reply response = app_.refuse(e, what);
  // There is no request to speak of: the log line gets what is known.
  const header_fields none;
  request r;
  r.method = verb::unknown;
  r.method_name = "-";
  r.target = what.target.empty() ? "-" : what.target;
  r.headers = &none;
  r.peer = peer_;
  r.id = what.request_id;
  co_return co_await send_last(response, r);
}

awaitable<session::verdict> session::send_last(const reply& response, const request& r) {
  const auto started = steady_clock::now();
  const reply_frame frame{r.id, false, false, r.method == verb::head};
  out_.clear();
  serialise_head(response, frame, shared_.date(), out_);
  const std::string_view body = body_after_head(response, frame);
  const std::size_t bytes = out_.size() + body.size();
  const bool sent = co_await send(body);
  app_.log({r, response.status, bytes,
            std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - started)});
  if (sent) co_await linger();
  co_return verdict::end;
}

// One write of out_ and what comes after it.
awaitable<bool> session::send(std::string_view after) {
  deadline_.arm(limits_.write);
  const std::array<asio::const_buffer, 2> both{asio::buffer(out_), asio::buffer(after)};
  auto [ec, n] = co_await asio::async_write(socket_, both, as_result);
  deadline_.disarm();
  co_return !ec;
}

// Closing with unread bytes resets the connection, and the reset can overtake the response: read on for a
// moment.
awaitable<> session::linger() {
  boost::system::error_code ignored;
  socket_.shutdown(asio::socket_base::shutdown_send, ignored);
  if (ignored) co_return;
  deadline_.arm(std::chrono::seconds(2));
  // Bounded in bytes and time: a peer that goes on sending is cut off.
  std::size_t drained = 0;
  in_.clear();
  while (drained < linger_bytes) {
    in_.resize(linger_step);
    auto [ec, n] = co_await socket_.async_read_some(asio::buffer(in_.data(), linger_step), as_result);
    if (ec) break;
    drained += n;
  }
  deadline_.disarm();
}

}  // namespace relay::http
