#include "server/http/head_validator.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>

#include "common/base/ascii.hpp"
#include "common/base/eight_bytes.hpp"

namespace relay::http {
namespace {

constexpr char_set token_characters("!#$%&'*+-.^_`|~");
constexpr char_set host_characters("-._~:[]%");
constexpr char_set target_characters("!\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~");  // printable, without '#'

bool is_token(std::string_view text) {
  return token_characters.makes(text);
}

// Bytes at the front that are neither control characters nor DEL; tabs stop it too.
std::size_t plain_prefix(std::string_view bytes) {
  std::size_t n = 0;
  for (; n + 8 <= bytes.size(); n += 8) {
    const std::uint64_t eight = eight_bytes::at(bytes.data() + n);
    const std::uint64_t found = eight_bytes::below(eight, 0x20) | eight_bytes::equal(eight, 0x7f);
    if (found == 0) continue;
    if constexpr (std::endian::native == std::endian::little)
      return n + static_cast<std::size_t>(std::countr_zero(found)) / 8;
    break;
  }
  const auto plain = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; };
  while (n < bytes.size() && plain(bytes[n])) ++n;
  return n;
}

bool list_has(std::string_view list, std::string_view lower) {
  while (!list.empty()) {
    const auto comma = list.find(',');
    if (iequals(trim(list.substr(0, comma)), lower)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

// Of a head whose ends of lines were seen to be whole.
std::size_t end_of_line(std::string_view bytes) {
  const auto end = bytes.find('\n');
  return end == std::string_view::npos || end == 0 ? std::string_view::npos : end - 1;
}

std::unexpected<error> bad(std::string_view why) {
  return fail(errc::invalid_request, "request: " + std::string(why));
}

// reg-name, IPv4 or [IPv6], and a port (RFC 9110 §7.2).
bool valid_host(std::string_view host) {
  return host.size() <= 255 && host_characters.makes(host);
}

result<void> read_request_line(std::string_view line, const head_limits& limits, head& out) {
  // Three parts: METHOD SP TARGET SP VERSION (RFC 9112 §3).
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return bad("the first line must be METHOD TARGET HTTP/1.1");
  out.method = line.substr(0, first);
  out.target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(out.method)) return bad("the method is not a token");
  if (version == "HTTP/1.1" || version == "HTTP/1.0") {
    out.minor_version = version.back() - '0';
  } else if (version.size() == 8 && version.starts_with("HTTP/")) {
    return fail(errc::version_not_supported, "request: HTTP/1.1 and HTTP/1.0 are spoken here");
  } else {
    return bad("the first line must end in HTTP/1.1");
  }
  // Both would make this a tunnel or an echo.
  if (out.method == "CONNECT" || out.method == "TRACE") {
    return fail(errc::method_not_allowed,
                "request: the method " + std::string(out.method) + " is not allowed");
  }
  if (out.target.size() > limits.target_bytes) {
    return fail(errc::target_too_long,
                "request: the target is longer than " + std::to_string(limits.target_bytes) + " bytes");
  }
  // Of the whole server (RFC 9110 §9.3.7).
  if (out.target == "*" && out.method == "OPTIONS") return {};
  // Only origin-form is a request to this server; '#' never belongs in a target.
  if (!out.target.starts_with('/')) return bad("the target must begin with \"/\"");
  if (!target_characters.makes(out.target))
    return bad("the target must be printable ASCII; encode other characters as %XX");
  return {};
}

// What the header fields have shown so far.
struct framing {
  int hosts = 0;
  int authorizations = 0;
  int content_lengths = 0;
  int transfer_encodings = 0;
  bool close = false;
  bool keep_alive = false;
};

result<void> read_header(std::string_view name, std::string_view value, framing& f, head& out) {
  if (iequals(name, "host")) {
    if (++f.hosts > 1) return bad("there is more than one Host");
    if (!valid_host(value)) return bad("the Host is not valid");
  } else if (iequals(name, "authorization")) {
    if (++f.authorizations > 1) return bad("there is more than one Authorization");
  } else if (iequals(name, "content-length")) {
    // One, digits only (RFC 9112 §6.3): two readers could differ on anything else.
    if (++f.content_lengths > 1) return bad("there is more than one Content-Length");
    const bool digits =
        !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
    const auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), out.content_length);
    if (!digits) return bad("Content-Length must be digits only");
    if (ec != std::errc{} || out.content_length > std::numeric_limits<std::int64_t>::max())
      return bad("Content-Length must be a number of 63 bits");
  } else if (iequals(name, "transfer-encoding")) {
    // Any other coding, or a list of them, is a way to smuggle a second request.
    if (++f.transfer_encodings > 1 || !iequals(value, "chunked"))
      return bad("Transfer-Encoding must be exactly \"chunked\"");
    out.chunked = true;
  } else if (iequals(name, "connection")) {
    f.close = f.close || list_has(value, "close");
    f.keep_alive = f.keep_alive || list_has(value, "keep-alive");
  } else if (iequals(name, "expect")) {
    if (!iequals(value, "100-continue"))
      return fail(errc::expectation_failed, "request: the only Expect known here is 100-continue");
    out.expects_continue = true;
  }
  return {};
}

// Why the byte at `i` may not stand there; null: it may. `plain`: it is no control character.
const char* wrong_at(std::string_view bytes, std::size_t i, bool plain) {
  const bool after_return = i > 0 && bytes[i - 1] == '\r';
  const char c = bytes[i];
  if (c == '\n') return after_return ? nullptr : "a line must end in CR LF";
  if (after_return) return "a carriage return stands alone";
  return plain || c == '\t' || c == '\r' ? nullptr : "the head holds a control character";
}

// `last`: of the bytes that may stand where they are.
result<void> within_limits(std::size_t last, bool first_line, const head_limits& limits) {
  const bool long_target = first_line && last > limits.target_bytes + 32;
  const bool long_head = last >= limits.head_bytes;
  // The one that came first.
  if (long_target && (!long_head || limits.target_bytes + 33 <= limits.head_bytes)) {
    return fail(errc::target_too_long,
                "request: the target is longer than " + std::to_string(limits.target_bytes) + " bytes");
  }
  if (long_head) {
    return fail(errc::header_too_large,
                "request: the head is longer than " + std::to_string(limits.head_bytes) + " bytes");
  }
  return {};
}

}  // namespace

result<std::optional<std::size_t>> find_head_end(std::string_view bytes, std::size_t seen,
                                                 const head_limits& limits) {
  // Only what is new is looked at; the byte before it may be half of a line's end.
  bool first_line = bytes.substr(0, seen).find('\n') == std::string_view::npos;
  const bool may_be_long = bytes.size() > std::min(limits.head_bytes, limits.target_bytes);
  for (std::size_t i = seen; i < bytes.size();) {
    const std::size_t plain = plain_prefix(bytes.substr(i));
    if (const char* why = wrong_at(bytes, i, plain > 0)) return bad(why);
    if (bytes[i] == '\n') {
      first_line = false;
      if (i >= 3 && bytes[i - 2] == '\n') return i + 1;
    }
    i += std::max<std::size_t>(plain, 1);
    if (!may_be_long) continue;
    if (auto ok = within_limits(i - 1, first_line, limits); !ok)
      return std::unexpected(std::move(ok.error()));
  }
  return std::nullopt;
}

result<head> check_head(std::string_view bytes, const head_limits& limits) {
  // 1. The request line.
  head out;
  framing f;
  std::size_t line_end = end_of_line(bytes);
  if (auto ok = read_request_line(bytes.substr(0, line_end), limits, out); !ok)
    return std::unexpected(std::move(ok.error()));

  // 2. The header fields, one a line.
  for (;;) {
    bytes.remove_prefix(line_end + 2);
    line_end = end_of_line(bytes);
    if (line_end == std::string_view::npos || line_end == 0) break;
    const std::string_view line = bytes.substr(0, line_end);
    if (out.fields.size() == limits.headers) {
      return fail(errc::header_too_large,
                  "request: more than " + std::to_string(limits.headers) + " header fields");
    }
    if (line.front() == ' ' || line.front() == '\t') return bad("a header line must not be folded");
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return bad("a header line has no colon");
    const std::string_view name = line.substr(0, colon);
    if (!is_token(name))
      return bad("the name of a header field must be a token, with no space before the colon");
    const std::string_view value = trim(line.substr(colon + 1));
    if (auto ok = read_header(name, value, f, out); !ok) return std::unexpected(std::move(ok.error()));
    out.fields.add(name, value);
  }

  // 3. What only the whole head shows: exactly one way to tell where the body ends.
  if (out.minor_version == 1 && f.hosts == 0) return bad("HTTP/1.1 needs a Host");
  if (out.chunked && f.content_lengths > 0)
    return bad("Transfer-Encoding and Content-Length exclude each other");
  if (out.chunked && out.minor_version == 0) return bad("HTTP/1.0 has no Transfer-Encoding");
  out.keep_alive = !f.close && (out.minor_version == 1 || f.keep_alive);
  if (out.minor_version == 0) out.expects_continue = false;
  return out;
}

}  // namespace relay::http
