#include "server/background/web_poster.hpp"

#include <algorithm>
#include <memory>

#include "server/upstream/connection.hpp"
#include "server/upstream/run_exchange.hpp"

namespace relay {
namespace {

constexpr std::size_t max_addresses = 4;  // tried for one request

steady_clock::duration left_until(steady_clock::time_point end) {
  return std::max<steady_clock::duration>(end - steady_clock::now(), std::chrono::milliseconds(1));
}

}  // namespace

// On a connection of its own, to an address that was checked.
awaitable<web_poster::posted> web_poster::post(const web_address& to, const std::string& request,
                                               std::int64_t owner, bool status_is_enough) {
  // The name, within a third of the time.
  posted out;
  const auto until = steady_clock::now() + timeout_;
  std::string host = to.at.host;
  const auto where = co_await addresses_.resolve(std::move(host), to.at.port, owner, timeout_ / 3);
  if (where.endpoints.empty()) {
    out.forbidden = where.forbidden;
    out.tried = !where.too_busy;
    out.what.problem = where.problem;
    co_return out;
  }
  // The first address that accepts a connection.
  const std::size_t tries = std::min(where.endpoints.size(), max_addresses);
  std::unique_ptr<connection> c;
  boost::system::error_code ec;
  for (std::size_t i = 0; i < tries; ++i) {
    c = std::make_unique<connection>(loop_, deadlines_);
    c->arm(timeout_ / (2 * static_cast<int>(tries)));
    ec = co_await c->connect(where.endpoints[i]);
    if (!ec || deadlines_.expiring()) break;
  }
  if (ec) {
    out.what.problem = "cannot connect: " + describe(ec, c->timed_out());
    co_return out;
  }
  // TLS, when the URL says so, then the exchange in what time is left.
  c->arm(left_until(until));
  try {
    if (to.at.tls) ec = co_await c->handshake(tls_, to.at.host);
  } catch (const std::exception& e) {
    out.what.problem = std::string("cannot begin TLS: ") + e.what();
    co_return out;
  }
  if (ec) {
    out.what.problem = "no TLS: " + describe(ec, c->timed_out());
    co_return out;
  }
  exchange_limits limits;
  limits.total = limits.first_byte = left_until(until);
  limits.status_is_enough = status_is_enough;
  bool reusable = false;
  out.what = co_await run_exchange(*c, request, limits, reusable);
  co_return out;
}

}  // namespace relay
