#include "server/background/callback_addresses.hpp"

#include "common/engine/address_policy.hpp"

namespace relay {
namespace {

bool is_allowed(const asio::ip::address& a) {
  return a.is_v4() ? is_public(a.to_v4().to_bytes()) : is_public(a.to_v6().to_bytes());
}

}  // namespace

awaitable<callback_addresses::resolved> callback_addresses::resolve(std::string host, std::uint16_t port,
                                                                    std::int64_t owner,
                                                                    steady_clock::duration timeout) {
  resolved out;
  const auto found = co_await names_.look_up(std::move(host), owner, timeout);
  if (found.addresses.empty()) {
    out.too_busy = !found.looked_up;
    out.problem = "the name cannot be resolved: " + found.problem;
    co_return out;
  }
  // One private address among them is enough: a name must not be able to switch between the two (S4).
  for (const asio::ip::address& a : found.addresses) {
    if (!allow_private_ && !is_allowed(a)) {
      out.forbidden = true;
      out.problem = "it resolves to " + a.to_string() +
                    ", which is no public address; callbacks.allow_private_addresses is off";
      out.endpoints.clear();
      co_return out;
    }
    out.endpoints.emplace_back(a, port);
  }
  co_return out;
}

}  // namespace relay
