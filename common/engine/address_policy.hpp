#pragma once

// Which IP addresses a client's callback may be sent to (rule S4). Pure.

#include <array>

namespace relay {

/// False for everything that is not public unicast: this host, private, shared (CGNAT), link-local, loopback,
/// documentation, benchmarking, multicast and reserved networks (RFC 6890). Network byte order.
bool is_public(const std::array<unsigned char, 4>& ipv4);
/// The same for IPv6: also false for unique local addresses and for those that embed IPv4 (mapped,
/// compatible, 6to4, NAT64, Teredo).
bool is_public(const std::array<unsigned char, 16>& ipv6);

}  // namespace relay
