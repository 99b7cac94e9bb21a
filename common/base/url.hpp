#pragma once

// Addresses of upstreams and callbacks: http and https only, RFC 3986.

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "common/base/secret.hpp"

namespace relay {

/// A base address, taken apart. IPv6 hosts are without brackets.
struct base_url {
  bool tls = false;
  std::string host;
  std::uint16_t port = 0;
  std::string path;  // "" or "/…", never a trailing slash

  /// The value of a Host header (RFC 9110 §7.2): the port only when it is not the scheme's own.
  std::string authority() const;

  friend bool operator==(const base_url&, const base_url&) = default;
};

/// Scheme, host, optional port and path. User info, query and fragment are refused. Errors: invalid_request.
result<base_url> parse_base_url(std::string_view text);

/// An HTTP proxy, and the credentials for it.
struct proxy_address {
  base_url at;         // its path is empty
  secret credentials;  // "user:password", decoded; empty: none

  friend bool operator==(const proxy_address&, const proxy_address&) = default;
};

/// `http://proxy:3128`, `https://user:password@proxy`: without a path. Errors: invalid_request, which quotes
/// nothing of it.
result<proxy_address> parse_proxy_address(std::string_view text);

/// The address of one resource: a base without a path, and what stands in the request line.
struct web_address {
  base_url at;         // its path is empty
  std::string target;  // "/…", the query included; fit for a request line
};

/// An absolute http or https URL, at most 2,048 bytes; user info is refused, a fragment is dropped.
/// Errors: invalid_request.
result<web_address> parse_web_address(std::string_view text);

/// True for text that begins with a scheme, as RFC 3986 §3.1 has it: `ftp://x`, `javascript:x`. A host with a
/// port, `localhost:80`, is none.
bool has_scheme(std::string_view text);

/// True for what parse_web_address takes.
bool is_web_url(std::string_view text);

/// A text as one segment of a path: what is not unreserved, or a colon, is percent-encoded (RFC 3986 §3.3).
std::string path_segment(std::string_view text);

}  // namespace relay
