#include "server/upstream/host_addresses.hpp"

namespace relay {
namespace {

constexpr std::chrono::seconds fresh_for{30};
constexpr std::chrono::seconds in_background{15};

}  // namespace

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
                   [this](const std::exception_ptr&) { refreshing_ = false; });
  }
  co_return known_;
}

}  // namespace relay
