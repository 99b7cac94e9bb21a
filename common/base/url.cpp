#include "common/base/url.hpp"

#include <algorithm>
#include <boost/url.hpp>
#include <charconv>

#include "common/base/ascii.hpp"

namespace relay {
namespace urls = boost::urls;

std::string base_url::authority() const {
  std::string out = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  if (port != (tls ? 443 : 80)) out += ":" + std::to_string(port);
  return out;
}

namespace {

// A name of letters, digits, dots, hyphens and underscores, or an address without a zone. What is
// percent-encoded would be decoded into header fields and log lines.
bool plain_host(const urls::url_view& url) {
  const auto encoded = url.encoded_host();
  std::string_view host(encoded.data(), encoded.size());
  if (url.host_type() == urls::host_type::ipv6) {
    host = host.substr(1, host.size() - 2);
    return is_word(host, ":.");
  }
  return url.host_type() != urls::host_type::ipvfuture && host.size() <= 253 && is_word(host, "._-");
}

// Boost.URL 1.81 asserts on some texts without an authority, such as "ppp:" and a NUL: only what has one gets
// there.
bool may_be_parsed(std::string_view text) {
  const bool printable = std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
  const auto slashes = text.find("://");
  return printable && slashes != std::string_view::npos && slashes > 0 &&
         is_word(text.substr(0, slashes), "+-.");
}

}  // namespace

result<base_url> parse_base_url(std::string_view text) {
  if (!may_be_parsed(text))
    return fail(errc::invalid_request, "must be an address such as https://api.example.com");
  const auto parsed = urls::parse_uri(boost::core::string_view(text.data(), text.size()));
  if (!parsed) return fail(errc::invalid_request, "must be an address such as https://api.example.com");
  const urls::url_view& url = *parsed;
  base_url out;
  if (url.scheme_id() == urls::scheme::https) {
    out.tls = true;
  } else if (url.scheme_id() != urls::scheme::http) {
    return fail(errc::invalid_request, "must begin with http:// or https://");
  }
  out.host = url.host_address();
  if (out.host.empty()) return fail(errc::invalid_request, "has no host");
  if (!plain_host(url)) return fail(errc::invalid_request, "the host must be a plain name or address");
  if (url.has_userinfo()) return fail(errc::invalid_request, "must not carry a user name or password");
  if (url.has_query() || url.has_fragment()) return fail(errc::invalid_request, "must end after the path");
  out.port = out.tls ? 443 : 80;
  if (url.has_port()) {
    const auto digits = url.port();
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
    if (ec != std::errc{} || end != digits.data() + digits.size() || out.port == 0) {
      return fail(errc::invalid_request, "the port must be 1 to 65535");
    }
  }
  out.path = std::string(url.encoded_path());
  while (!out.path.empty() && out.path.back() == '/') out.path.pop_back();
  return out;
}

result<proxy_address> parse_proxy_address(std::string_view text) {
  constexpr std::string_view wrong = "must be an address such as http://proxy.example.com:3128";
  if (!may_be_parsed(text)) return fail(errc::invalid_request, std::string(wrong));
  const auto parsed = urls::parse_uri(boost::core::string_view(text.data(), text.size()));
  if (!parsed) return fail(errc::invalid_request, std::string(wrong));
  urls::url plain(*parsed);
  plain.remove_userinfo();
  auto base = parse_base_url(std::string_view(plain.buffer().data(), plain.buffer().size()));
  if (!base) return std::unexpected(std::move(base.error()));
  if (!base->path.empty()) return fail(errc::invalid_request, "must end after the port");
  proxy_address out{std::move(*base), secret()};
  if (parsed->has_userinfo()) out.credentials = secret(parsed->user() + ":" + parsed->password());
  return out;
}

result<web_address> parse_web_address(std::string_view text) {
  constexpr std::string_view wrong = "must be a full http or https address";
  if (text.size() > 2048 || !may_be_parsed(text)) return fail(errc::invalid_request, std::string(wrong));
  const auto parsed = urls::parse_uri(boost::core::string_view(text.data(), text.size()));
  if (!parsed) return fail(errc::invalid_request, std::string(wrong));
  const urls::url_view& url = *parsed;
  urls::url plain(url);
  plain.remove_query();
  plain.remove_fragment();
  auto base = parse_base_url(std::string_view(plain.buffer().data(), plain.buffer().size()));
  if (!base) return std::unexpected(std::move(base.error()));
  web_address out{std::move(*base), std::string(url.encoded_path())};
  if (out.target.empty()) out.target = "/";
  if (url.has_query()) out.target += "?" + std::string(url.encoded_query());
  if (!out.target.starts_with('/')) return fail(errc::invalid_request, "the path must begin with a slash");
  out.at.path.clear();
  return out;
}

bool has_scheme(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view name = text.substr(0, colon);
  if (!is_word(name, "+-.") || !is_alpha(name.front())) return false;
  const std::string_view rest = text.substr(colon + 1);
  return rest.empty() || !(rest.front() >= '0' && rest.front() <= '9');
}

bool is_web_url(std::string_view text) {
  return parse_web_address(text).has_value();
}

std::string path_segment(std::string_view text) {
  static constexpr char hex[] = "0123456789ABCDEF";
  constexpr std::string_view others = "-._~:";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (is_alnum(c) || others.contains(c)) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += '%';
    out += hex[byte >> 4];
    out += hex[byte & 15];
  }
  return out;
}

}  // namespace relay
