#pragma once

// Which IP addresses a client's callback may be sent to (rule S4), and which hosts are at home. Pure.

#include <array>
#include <string_view>

namespace relay {

/// False for everything that is not public unicast: this host, private, shared (CGNAT), link-local, loopback,
/// documentation, benchmarking, multicast and reserved networks (RFC 6890). Network byte order.
bool is_public(const std::array<unsigned char, 4>& ipv4);
/// The same for IPv6: also false for unique local addresses and for those that embed IPv4 (mapped,
/// compatible, 6to4, NAT64, Teredo).
bool is_public(const std::array<unsigned char, 16>& ipv6);

/// True for an address that is not public, and for a name that only a private network knows: without a dot,
/// or below localhost, local, internal, lan, home.arpa (RFC 6761, RFC 6762, RFC 8375).
bool is_private_host(std::string_view host);

}  // namespace relay
