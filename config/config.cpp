#include "config/config.hpp"

#include <charconv>

#include "common/base/addresses.hpp"

namespace relay {

result<listen_address> parse_listen(std::string_view text) {
  const auto refuse = [] {
    return fail(errc::invalid_request, "must be ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080");
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse();
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return refuse();
  }
  unsigned port = 0;
  const auto [end, ec] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (host.empty() || ec != std::errc{} || end != port_text.data() + port_text.size() || port > 65535)
    return refuse();
  return listen_address{std::string(host), static_cast<std::uint16_t>(port)};
}

result<listen_address> parse_name_server(std::string_view text) {
  if (parse_ip(text)) return listen_address{std::string(text), 53};
  auto out = parse_listen(text);
  if (!out || !parse_ip(out->host) || out->port == 0)
    return fail(errc::invalid_request,
                "must be ADDRESS or ADDRESS:PORT, such as 9.9.9.9, 127.0.0.1:5353 or [2620:fe::fe]:53");
  return out;
}

std::vector<price_rule> rules_of(const std::vector<price_config>& prices) {
  std::vector<price_rule> out;
  out.reserve(prices.size());
  for (const price_config& p : prices) out.push_back(p.rule);
  return out;
}

std::vector<upstream_config> one_for_each_key(const upstream_config& u) {
  std::vector<upstream_config> out;
  upstream_config plain = u;
  plain.keys.clear();
  if (!u.key.empty() || u.keys.empty()) out.push_back(plain);
  for (const upstream_key_config& k : u.keys) {
    upstream_config& one = out.emplace_back(plain);
    one.name += "/" + k.name;
    one.key = k.key;
    one.key_env = k.key_env;
    one.key_file = k.key_file;
    if (k.weight > 0) one.weight = k.weight;
    if (k.max_concurrent > 0) one.max_concurrent = k.max_concurrent;
    if (k.creates_per_minute > 0) one.creates_per_minute = k.creates_per_minute;
    one.poll_only = u.poll_only || k.poll_only;
  }
  return out;
}

}  // namespace relay
