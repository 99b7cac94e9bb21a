#pragma once

// What a request head must be, and what it says (rule H1). Stricter than Beast 1.81, which lets pass what
// smuggling needs (Transfer-Encoding with Content-Length, two Hosts, folded lines) and waits indefinitely on
// some bare line feeds. Pure; a table of bytes and verdicts tests it. RFC 9112 §2, §3, §5, §6.

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/error.hpp"
#include "server/http/header_fields.hpp"

namespace relay::http {

struct head_limits {
  std::size_t head_bytes = 16 * 1024;  // then 431
  std::size_t target_bytes = 8'000;    // then 414
  std::size_t headers = 100;           // then 431
};

/// What the rest of the session needs to know of a valid head. Views point into the head.
struct head {
  std::string_view method;
  std::string_view target;
  int minor_version = 1;  // HTTP/1.0 or 1.1
  std::uint64_t content_length = 0;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;
  header_fields fields;

  bool has_body() const { return chunked || content_length > 0; }
};

/// Looks for the end of the head in `bytes`, of which the first `seen` were looked at before. The size of the
/// head with its empty line; nullopt: more bytes are needed. Errors: invalid_request for a byte that no head
/// may hold, header_too_large, target_too_long.
result<std::optional<std::size_t>> find_head_end(std::string_view bytes, std::size_t seen,
                                                 const head_limits& limits);

/// Checks a whole head, its empty line included. Errors: invalid_request, method_not_allowed (CONNECT,
/// TRACE), target_too_long, header_too_large, expectation_failed, version_not_supported.
result<head> check_head(std::string_view bytes, const head_limits& limits);

}  // namespace relay::http
