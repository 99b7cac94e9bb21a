#include "server/upstream/upstream.hpp"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>

namespace relay {
namespace beast_http = boost::beast::http;
namespace {

constexpr std::uint64_t max_answer_bytes = 1024 * 1024;
constexpr std::size_t max_answer_head = 64 * 1024;  // a head, or what stands between two chunks
constexpr std::size_t read_step = 8 * 1024;
constexpr std::size_t addresses_tried = 4;
constexpr std::size_t kept_connections = 64;
// A create must not meet a connection that the upstream is just closing: such an end looks like a lost
// answer.
constexpr auto create_freshness = std::chrono::milliseconds(1'000);

int retry_after_of(std::string_view value) {
  int seconds = 0;
  const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  return ec == std::errc{} && end == value.data() + value.size() && seconds > 0 ? seconds : 0;
}

std::string words(const boost::system::error_code& ec, bool timed_out) {
  return timed_out ? "timed out" : ec.message();
}

}  // namespace

upstream::upstream(asio::io_context& loop, deadlines& d, const upstream_config& c)
    : loop_(loop),
      deadlines_(d),
      config_(c),
      protocol_(c.protocol == "station" ? protocol::station : protocol::luma),
      tls_(c.base.tls ? std::make_unique<tls_client>(c.base.host, c.ca_file) : nullptr),
      addresses_(loop, c.base.host, c.base.port) {}

std::string upstream::target(const std::string& path) const {
  return config_.base.path + (protocol_ == protocol::luma ? "/dream-machine/v1" : "") + path;
}

// One buffer, one write. These are all the header fields that ever go upstream: nothing of the client's.
std::string upstream::make_request(std::string_view method, const std::string& path,
                                   std::string_view body) const {
  std::string out;
  out.reserve(body.size() + 512);
  out.append(method)
      .append(" ")
      .append(target(path))
      .append(" HTTP/1.1\r\nHost: ")
      .append(config_.base.authority());
  out.append("\r\nAuthorization: Bearer ").append(config_.key.reveal());
  out.append("\r\nAccept: application/json\r\nUser-Agent: luma-relay\r\n");
  if (!body.empty()) {
    out.append("Content-Type: application/json\r\nContent-Length: ")
        .append(std::to_string(body.size()))
        .append("\r\n");
  }
  out.append("\r\n").append(body);
  return out;
}

awaitable<upstream::leased> upstream::lease(steady_clock::duration freshness) {
  leased out;
  const auto now = steady_clock::now();
  while (!idle_.empty()) {
    std::unique_ptr<connection> c = std::move(idle_.back());
    idle_.pop_back();
    if (now - c->idle_since > freshness || !c->looks_alive()) continue;
    c->reused = true;
    out.conn = std::move(c);
    co_return out;
  }

  const auto endpoints = co_await addresses_.get(config_.connect_timeout);
  if (endpoints.empty()) {
    out.problem = "cannot resolve " + config_.base.host + ": " + addresses_.problem();
    co_return out;
  }
  // The time is shared by the addresses, so that one that does not answer leaves some for the next.
  const std::size_t tries = std::min(endpoints.size(), addresses_tried);
  std::unique_ptr<connection> fresh;
  boost::system::error_code ec;
  for (std::size_t i = 0; i < tries; ++i) {
    fresh = std::make_unique<connection>(loop_, deadlines_, tls_.get());
    fresh->arm(config_.connect_timeout / static_cast<int>(tries));
    ec = co_await fresh->connect(endpoints[i]);
    if (!ec) break;
  }
  if (ec) {
    out.problem = "cannot connect to " + config_.base.authority() + ": " + words(ec, fresh->timed_out());
    co_return out;
  }
  fresh->arm(config_.connect_timeout);
  try {
    ec = co_await fresh->handshake();
  } catch (const std::exception& e) {  // OpenSSL could not make a stream: no byte has left
    out.problem = std::string("cannot begin TLS: ") + e.what();
    co_return out;
  }
  if (ec) {
    out.problem = "no TLS with " + config_.base.authority() + ": " + words(ec, fresh->timed_out());
    co_return out;
  }
  fresh->disarm();
  out.conn = std::move(fresh);
  co_return out;
}

awaitable<exchange> upstream::run(connection& c, const std::string& request, bool& reusable) {
  exchange out;
  const auto until = steady_clock::now() + config_.total_timeout;
  c.arm(std::min(config_.first_byte_timeout, config_.total_timeout));
  out.bytes_left = true;  // from here on nobody can say how far they got
  const auto sent = co_await c.write(request);
  if (sent.first) {
    out.problem = "the request was cut off while it was sent: " + words(sent.first, c.timed_out());
    co_return out;
  }

  std::string& in = c.read_buffer;
  in.clear();
  auto parser = std::make_unique<beast_http::response_parser<beast_http::string_body>>();
  parser->eager(true);
  parser->body_limit(max_answer_bytes);
  bool first = true;
  for (;;) {
    const std::size_t have = in.size();
    in.resize_and_overwrite(have + read_step, [](char*, std::size_t size) { return size; });
    const auto got = co_await c.read_some(asio::buffer(in.data() + have, read_step));
    in.resize(have + (got.first ? 0 : got.second));
    boost::system::error_code ec;
    if (got.first) {
      const bool at_end = got.first == asio::error::eof;
      if (at_end && parser->got_some()) parser->put_eof(ec);
      if (!at_end || ec || !parser->is_done()) {
        out.problem = "the answer was cut off: " + words(got.first, c.timed_out());
        co_return out;
      }
    } else if (first) {
      first = false;
      c.arm(std::max<steady_clock::duration>(until - steady_clock::now(), std::chrono::milliseconds(1)));
    }
    std::size_t used = 0;
    while (used < in.size() && !parser->is_done() && !ec) {
      used += parser->put(asio::buffer(in.data() + used, in.size() - used), ec);
      if (parser->is_done() && parser->get().result_int() / 100 == 1) {  // an interim answer says nothing
        parser = std::make_unique<beast_http::response_parser<beast_http::string_body>>();
        parser->eager(true);
        parser->body_limit(max_answer_bytes);
      }
    }
    in.erase(0, used);
    if (ec && ec != beast_http::error::need_more) {
      out.problem = "the answer is not valid HTTP: " + ec.message();
      co_return out;
    }
    if (parser->is_done()) break;
    if (in.size() > max_answer_head || c.timed_out()) {
      out.problem = c.timed_out() ? "the answer did not end in time" : "the answer's head is too long";
      co_return out;
    }
  }
  c.disarm();
  const bool ends_itself = !parser->need_eof() && parser->keep_alive();
  auto message = parser->release();
  out.answered = true;
  out.status = static_cast<int>(message.result_int());
  const auto retry = message.find(beast_http::field::retry_after);
  if (retry != message.end())
    out.retry_after_seconds = retry_after_of({retry->value().data(), retry->value().size()});
  reusable = ends_itself && in.empty();
  out.body = std::move(message.body());
  co_return out;
}

awaitable<exchange> upstream::one_exchange(const std::string& request, steady_clock::duration freshness,
                                           bool& was_reused) {
  leased l = co_await lease(freshness);
  if (!l.conn) {
    exchange none;
    none.problem = std::move(l.problem);
    co_return none;
  }
  was_reused = l.conn->reused;
  bool reusable = false;
  exchange out = co_await run(*l.conn, request, reusable);
  if (reusable && idle_.size() < kept_connections) {
    l.conn->idle_since = steady_clock::now();
    idle_.push_back(std::move(l.conn));
  }
  co_return out;
}

awaitable<exchange> upstream::create(const outgoing& what) {
  const std::string request = make_request("POST", what.path, what.body);
  bool reused = false;
  const auto freshness = std::min<steady_clock::duration>(create_freshness, config_.idle_timeout);
  co_return co_await one_exchange(request, freshness, reused);
}

awaitable<exchange> upstream::fetch(const std::string& path) {
  const std::string request = make_request("GET", path, {});
  bool reused = false;
  exchange out = co_await one_exchange(request, config_.idle_timeout, reused);
  if (!out.answered && reused && !deadlines_.expiring()) {
    idle_.clear();  // where one is dead, the others are old too
    out = co_await one_exchange(request, config_.idle_timeout, reused);
  }
  co_return out;
}

}  // namespace relay
