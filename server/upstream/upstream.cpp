#include "server/upstream/upstream.hpp"

#include "common/base/masked.hpp"

namespace relay {
namespace {

constexpr std::size_t addresses_tried = 4;
constexpr std::uint64_t max_list_bytes = 64 * 1024 * 1024;  // of one page
constexpr std::size_t kept_connections = 64;
// A create must not meet a connection that the upstream is just closing: such an end looks like a lost
// response.
constexpr auto create_freshness = std::chrono::milliseconds(1'000);

exchange_limits limits_of(const upstream_config& c) {
  exchange_limits l;
  l.first_byte = c.first_byte_timeout;
  l.total = c.total_timeout;
  return l;
}

}  // namespace

upstream::upstream(asio::io_context& loop, deadlines& d, resolver& names, const upstream_config& c,
                   const protocol& p)
    : loop_(loop),
      deadlines_(d),
      config_(c),
      protocol_(p),
      tls_(c.base.tls ? std::make_unique<tls_client>(c.ca_file) : nullptr),
      addresses_(loop, names, c.base.host, c.base.port) {}

std::string upstream::target(const std::string& path) const {
  return std::string(config_.base.path).append(protocol_.base_path).append(path);
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
  out.append("\r\nAuthorization: ").append(protocol_.authorization).append(config_.key.reveal());
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
  // The time is shared by the addresses, so that one that does not respond leaves some for the next.
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
    out.problem = "cannot connect to " + config_.base.authority() + ": " + describe(ec, fresh->timed_out());
    co_return out;
  }
  fresh->arm(config_.connect_timeout);
  try {
    ec = co_await fresh->handshake(config_.base.host);
  } catch (const std::exception& e) {  // OpenSSL could not make a stream: no byte has left
    out.problem = std::string("cannot begin TLS: ") + e.what();
    co_return out;
  }
  if (ec) {
    out.problem = "no TLS with " + config_.base.authority() + ": " + describe(ec, fresh->timed_out());
    co_return out;
  }
  fresh->disarm();
  out.conn = std::move(fresh);
  co_return out;
}

awaitable<exchange> upstream::one_exchange(const std::string& request, steady_clock::duration freshness,
                                           bool& was_reused, body_sink sink) {
  leased l = co_await lease(freshness);
  if (!l.conn) {
    exchange none;
    none.problem = std::move(l.problem);
    co_return none;
  }
  was_reused = l.conn->reused;
  bool reusable = false;
  exchange_limits limits = limits_of(config_);
  if (sink) limits.response_bytes = max_list_bytes;
  exchange out = co_await run_exchange(*l.conn, request, limits, reusable, std::move(sink));
  // An upstream may quote the key: what is kept, shown or logged of its words is without it.
  if (quotes(out.body, config_.key.reveal())) out.body = masked(out.body, config_.key.reveal());
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
  return ask("GET", path);
}

awaitable<exchange> upstream::remove(const std::string& path) {
  return ask("DELETE", path);
}

awaitable<exchange> upstream::ask(std::string_view method, const std::string& path) {
  const std::string request = make_request(method, path, {});
  bool reused = false;
  exchange out = co_await one_exchange(request, config_.idle_timeout, reused);
  if (!out.responded && reused && !deadlines_.expiring()) {
    idle_.clear();  // where one is dead, the others are old too
    out = co_await one_exchange(request, config_.idle_timeout, reused);
  }
  co_return out;
}

awaitable<exchange> upstream::fetch_list(const std::string& path, body_sink sink) {
  const std::string request = make_request("GET", path, {});
  bool reused = false;
  bool began = false;  // once some of it was taken, it cannot be sent again
  masking_stream without_key(config_.key.reveal(), std::move(sink));
  body_sink watched = [&](std::string_view part) {
    began = true;
    without_key.feed(part);
  };
  exchange out = co_await one_exchange(request, config_.idle_timeout, reused, watched);
  if (!out.responded && reused && !began && !out.timed_out && !deadlines_.expiring()) {
    idle_.clear();
    out = co_await one_exchange(request, config_.idle_timeout, reused, watched);
  }
  without_key.end();
  co_return out;
}

}  // namespace relay
