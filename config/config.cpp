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

}  // namespace relay
