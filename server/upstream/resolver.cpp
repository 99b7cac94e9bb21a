#include "server/upstream/resolver.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/basic_resolver.hpp>

namespace relay {
namespace {

constexpr auto fresh_for = std::chrono::seconds(30);

}  // namespace

struct host_addresses::state {
  state(asio::io_context& loop, std::string h, std::uint16_t p)
      : host(std::move(h)), port(p), resolver(loop.get_executor()), ended(loop.get_executor()) {}

  std::string host;
  std::uint16_t port;
  asio::ip::basic_resolver<asio::ip::tcp, executor> resolver;
  steady_timer ended;  // cancelled by the result
  std::vector<asio::ip::tcp::endpoint> known;
  steady_clock::time_point known_at;
  std::string problem;
  bool looking_up = false;
  bool literal = false;
};

host_addresses::host_addresses(asio::io_context& loop, std::string host, std::uint16_t port)
    : state_(std::make_shared<state>(loop, std::move(host), port)) {
  boost::system::error_code ec;
  const auto address = asio::ip::make_address(state_->host, ec);
  if (!ec) {
    state_->literal = true;
    state_->known = {{address, port}};
  }
  state_->ended.expires_at(steady_clock::time_point::max());
}

awaitable<> host_addresses::look_up(std::shared_ptr<state> s) {
  auto [ec, found] = co_await s->resolver.async_resolve(s->host, std::to_string(s->port), as_result);
  s->looking_up = false;
  if (ec) {
    s->problem = ec.message();
  } else {
    s->known.assign(found.begin(), found.end());
    s->known_at = steady_clock::now();
    s->problem.clear();
  }
  s->ended.cancel();
}

awaitable<std::vector<asio::ip::tcp::endpoint>> host_addresses::get(steady_clock::duration at_most) {
  const std::shared_ptr<state> s = state_;
  if (s->literal) co_return s->known;
  if (!s->looking_up && (s->known.empty() || steady_clock::now() - s->known_at > fresh_for)) {
    s->looking_up = true;
    auto lookup = look_up(s);
    asio::co_spawn(s->ended.get_executor(), std::move(lookup), asio::detached);
  }
  const auto until = steady_clock::now() + at_most;
  while (s->known.empty() && s->looking_up && steady_clock::now() < until) {
    // Each waiter has a timer for its own deadline; it wakes all, and the others wait on.
    steady_timer late(s->ended.get_executor());
    late.expires_at(until);
    auto on_late = [s](boost::system::error_code ec) {
      if (!ec) s->ended.cancel();
    };
    late.async_wait(std::move(on_late));
    co_await s->ended.async_wait(as_result);
  }
  if (s->known.empty() && s->looking_up) s->problem = "no response from the name service in time";
  co_return s->known;
}

std::string host_addresses::problem() const {
  return state_->problem;
}

}  // namespace relay
