#include "common/base/addresses.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "common/base/ascii.hpp"

namespace relay {
namespace {

constexpr std::array<unsigned char, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_v4(const ip_address& a) {
  return std::equal(mapped.begin(), mapped.end(), a.begin());
}

// In a header an address may have a port: 1.2.3.4:567, [::1]:567 (RFC 7239 §6).
std::string_view without_port(std::string_view text) {
  text = trim(text);
  if (text.starts_with('[')) return text.substr(1, text.find(']') - 1);
  const auto colon = text.find(':');
  return colon == text.rfind(':') ? text.substr(0, colon) : text;
}

}  // namespace

std::optional<ip_address> parse_ip(std::string_view text) {
  const std::string whole(text);  // with an end, for the C function
  if (whole.find('\0') != std::string::npos) return std::nullopt;
  ip_address out{};
  if (::inet_pton(AF_INET6, whole.c_str(), out.data()) == 1) return out;
  std::ranges::copy(mapped, out.begin());
  if (::inet_pton(AF_INET, whole.c_str(), out.data() + mapped.size()) == 1) return out;
  return std::nullopt;
}

std::string to_text(const ip_address& a) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (is_v4(a)) {
    ::inet_ntop(AF_INET, a.data() + mapped.size(), text.data(), text.size());
  } else {
    ::inet_ntop(AF_INET6, a.data(), text.data(), text.size());
  }
  return text.data();
}

result<address_set> address_set::parse(const std::vector<std::string>& entries) {
  address_set out;
  for (const std::string& entry : entries) {
    const std::string_view text = entry;
    const auto slash = text.find('/');
    const auto base = parse_ip(text.substr(0, slash));
    bool valid = base.has_value();
    unsigned prefix = 128;
    if (valid && slash != std::string_view::npos) {
      const std::string_view digits = text.substr(slash + 1);
      const unsigned most = is_v4(*base) ? 32 : 128;
      unsigned given = 0;
      const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), given);
      valid = ec == std::errc{} && end == digits.data() + digits.size() && given <= most;
      prefix = 128 - most + given;
    }
    if (!valid)
      return fail(errc::invalid_request,
                  "\"" + entry + "\" is no address, and no network such as 10.0.0.0/8");
    out.networks_.push_back({*base, prefix});
  }
  return out;
}

bool address_set::contains(const ip_address& a) const {
  return std::ranges::any_of(networks_, [&a](const network& n) {
    for (unsigned bit = 0; bit < n.prefix; ++bit) {
      if (((a[bit / 8] ^ n.base[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
    }
    return true;
  });
}

std::optional<std::string> forwarded_for(std::string_view field, const address_set& trusted) {
  std::optional<std::string> out;
  while (!field.empty()) {
    const auto comma = field.rfind(',');
    const auto a = parse_ip(without_port(comma == std::string_view::npos ? field : field.substr(comma + 1)));
    if (!a) return out;
    out = to_text(*a);
    if (!trusted.contains(*a)) return out;
    field = field.substr(0, comma == std::string_view::npos ? 0 : comma);
  }
  return out;
}

}  // namespace relay
