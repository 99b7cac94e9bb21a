#include "server/background/callback_guard.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <boost/asio/post.hpp>
#include <memory>

namespace relay {
namespace {

using asio::ip::address_v4;
using asio::ip::address_v6;

struct network_v4 {
  std::array<unsigned char, 4> start;
  unsigned bits;
};
struct network_v6 {
  std::array<unsigned char, 16> start;
  unsigned bits;
};

constexpr network_v4 closed_v4[] = {
    {{0, 0, 0, 0}, 8},                                // this network
    {{10, 0, 0, 0}, 8},                               // private
    {{100, 64, 0, 0}, 10},                            // shared, CGNAT
    {{127, 0, 0, 0}, 8},                              // loopback
    {{169, 254, 0, 0}, 16},                           // link-local, cloud metadata
    {{172, 16, 0, 0}, 12},                            // private
    {{192, 0, 0, 0}, 24},                             // protocol assignments
    {{192, 0, 2, 0}, 24},                             // documentation
    {{192, 88, 99, 0}, 24},                           // 6to4 relays
    {{192, 168, 0, 0}, 16},                           // private
    {{198, 18, 0, 0}, 15},                            // benchmarking
    {{198, 51, 100, 0}, 24}, {{203, 0, 113, 0}, 24},  // documentation
    {{224, 0, 0, 0}, 4},                              // multicast
    {{240, 0, 0, 0}, 4},                              // reserved, broadcast
};

// Of IPv6 only 2000::/3 is global unicast; these parts of it are not.
constexpr network_v6 closed_v6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23},  // protocol assignments: Teredo, ORCHID, benchmarking
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x20, 0x02}, 16},              // 6to4
    {{0x3f, 0xff, 0x00}, 20},        // documentation
};

template <std::size_t N>
bool within(const std::array<unsigned char, N>& address, const std::array<unsigned char, N>& start,
            unsigned bits) {
  for (std::size_t i = 0; i < N && bits > 0; ++i) {
    const unsigned take = std::min(bits, 8u);
    const auto mask = static_cast<unsigned char>(0xff << (8 - take));
    if ((address[i] & mask) != (start[i] & mask)) return false;
    bits -= take;
  }
  return true;
}

}  // namespace

bool is_public(const asio::ip::address& a) {
  if (a.is_v4()) {
    const auto bytes = a.to_v4().to_bytes();
    return std::ranges::none_of(closed_v4,
                                [&](const network_v4& n) { return within(bytes, n.start, n.bits); });
  }
  const auto bytes = a.to_v6().to_bytes();
  if ((bytes[0] & 0xe0) != 0x20) return false;  // mapped, compatible, NAT64, ULA, link-local, multicast, …
  return std::ranges::none_of(closed_v6, [&](const network_v6& n) { return within(bytes, n.start, n.bits); });
}

awaitable<callback_guard::answer> callback_guard::resolve(std::string host, std::uint16_t port,
                                                          steady_clock::duration at_most) {
  // Shared with the thread that asks, which may outlive who waits.
  struct question {
    question(asio::io_context& loop, std::string h) : host(std::move(h)), done(loop.get_executor()) {}
    std::string host;
    steady_timer done;
    bool answered = false;
    boost::system::error_code ec;
    std::vector<asio::ip::address> found;
  };
  const auto q = std::make_shared<question>(loop_, std::move(host));
  boost::system::error_code not_literal;
  const auto literal = asio::ip::make_address(q->host, not_literal);
  if (!not_literal) {
    q->answered = true;
    q->found.push_back(literal);
  } else {
    q->done.expires_after(at_most);
    asio::post(names_, [q, &loop = loop_] {
      asio::io_context own;
      asio::ip::tcp::resolver names(own);
      boost::system::error_code ec;
      const auto results = names.resolve(q->host, "", ec);
      std::vector<asio::ip::address> found;
      for (const auto& entry : results) found.push_back(entry.endpoint().address());
      asio::post(loop, [q, ec, found = std::move(found)]() mutable {
        q->answered = true;
        q->ec = ec;
        q->found = std::move(found);
        q->done.cancel();
      });
    });
    co_await q->done.async_wait(as_result);
  }
  answer out;
  if (!q->answered) {
    out.problem = "the name service did not answer in time";
  } else if (q->ec || q->found.empty()) {
    out.problem = "the name cannot be resolved: " + (q->ec ? q->ec.message() : std::string("no address"));
  } else {
    for (const asio::ip::address& a : q->found) {
      if (!allow_private_ && !is_public(a)) {
        out.forbidden = true;
        out.problem = "it resolves to " + a.to_string() +
                      ", which is no public address; callbacks.allow_private_addresses is off";
        out.endpoints.clear();
        break;
      }
      out.endpoints.emplace_back(a, port);
    }
  }
  co_return out;
}

}  // namespace relay
