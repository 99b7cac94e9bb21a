#include "server/upstream/host_addresses.hpp"

#include <algorithm>

namespace relay {
namespace {

constexpr std::chrono::seconds fresh_for{30};
constexpr std::chrono::seconds in_background{15};

}  // namespace

std::vector<asio::ip::tcp::endpoint> in_order_of_trial(std::vector<asio::ip::tcp::endpoint> found,
                                                       const asio::ip::tcp::endpoint& last) {
  if (const auto at = std::ranges::find(found, last); at != found.end())
    std::rotate(found.begin(), at, at + 1);
  std::vector<asio::ip::tcp::endpoint> first, other;
  for (const auto& e : found)
    (e.address().is_v6() == found.front().address().is_v6() ? first : other).push_back(e);
  std::vector<asio::ip::tcp::endpoint> out;
  for (std::size_t i = 0; i < std::max(first.size(), other.size()); ++i) {
    if (i < first.size()) out.push_back(first[i]);
    if (i < other.size()) out.push_back(other[i]);
  }
  return out;
}

host_addresses::host_addresses(asio::io_context& loop, resolver& names, std::string host, std::uint16_t port)
    : loop_(loop), names_(names), host_(std::move(host)), port_(port) {}

awaitable<> host_addresses::refresh(steady_clock::duration at_most) {
  std::string host = host_;
  const auto found = co_await names_.look_up(std::move(host), std::nullopt, at_most);
  problem_ = found.problem;
  if (found.addresses.empty()) co_return;
  known_.clear();
  for (const asio::ip::address& a : found.addresses) known_.emplace_back(a, port_);
  known_at_ = steady_clock::now();
}

awaitable<std::vector<asio::ip::tcp::endpoint>> host_addresses::get(steady_clock::duration at_most) {
  if (known_.empty()) {
    co_await refresh(at_most);
  } else if (!refreshing_ && steady_clock::now() - known_at_ > fresh_for) {
    refreshing_ = true;
    auto work = refresh(in_background);
    asio::co_spawn(loop_.get_executor(), std::move(work),
                   [self = shared_from_this()](const std::exception_ptr&) { self->refreshing_ = false; });
  }
  co_return in_order_of_trial(known_, last_);
}

}  // namespace relay
