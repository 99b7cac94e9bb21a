#include "common/engine/address_policy.hpp"

#include <algorithm>
#include <cstddef>

#include "common/base/addresses.hpp"
#include "common/base/ascii.hpp"

namespace relay {
namespace {

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

bool is_public(const std::array<unsigned char, 4>& ipv4) {
  return std::ranges::none_of(closed_v4, [&](const network_v4& n) { return within(ipv4, n.start, n.bits); });
}

bool is_public(const std::array<unsigned char, 16>& ipv6) {
  if ((ipv6[0] & 0xe0) != 0x20) return false;  // mapped, compatible, NAT64, ULA, link-local, multicast, …
  return std::ranges::none_of(closed_v6, [&](const network_v6& n) { return within(ipv6, n.start, n.bits); });
}

bool is_private_host(std::string_view host) {
  if (const auto ip = parse_ip(host)) {
    constexpr std::size_t before_v4 = 12;
    if (host.find(':') != host.npos) return !is_public(*ip);
    std::array<unsigned char, 4> v4{};
    std::copy_n(ip->begin() + before_v4, v4.size(), v4.begin());
    return !is_public(v4);
  }
  const std::string name = lower(host);
  constexpr std::string_view private_names[] = {".localhost", ".local", ".internal", ".lan", ".home.arpa"};
  return name.find('.') == name.npos ||
         std::ranges::any_of(private_names, [&name](std::string_view end) { return name.ends_with(end); });
}

}  // namespace relay
