#pragma once

// IP addresses as text, in sets of addresses and networks, and in X-Forwarded-For. Pure.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.hpp"

namespace relay {

/// Network byte order; IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2).
using ip_address = std::array<unsigned char, 16>;

/// nullopt: it is none.
std::optional<ip_address> parse_ip(std::string_view text);
/// The usual text; IPv4 as a.b.c.d.
std::string to_text(const ip_address& a);

/// Addresses and networks in CIDR notation (RFC 4632, RFC 4291).
class address_set {
 public:
  address_set() = default;
  /// Errors: invalid_request, which names the entry that is none.
  static result<address_set> parse(const std::vector<std::string>& entries);

  bool contains(const ip_address& a) const;

 private:
  struct network {
    ip_address base;
    unsigned prefix;  // bits of the 128
  };
  std::vector<network> networks_;
};

/// Who sent a request that came through proxies: the last address in X-Forwarded-For (all such fields, joined
/// by commas) that is not a trusted proxy's; the first, if all are. nullopt when the last entry is no
/// address.
std::optional<std::string> forwarded_for(std::string_view field, const address_set& trusted);

}  // namespace relay
