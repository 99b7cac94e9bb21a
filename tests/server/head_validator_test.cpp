// The gate as a table of bytes and verdicts (rule H1).

#include "server/http/head_validator.hpp"

#include <gtest/gtest.h>

namespace relay::http {
namespace {

const head_limits small{.head_bytes = 300, .target_bytes = 50, .headers = 5};

// What the gate says of whole bytes: 0 it passes, else the status.
int verdict(const std::string& bytes, const head_limits& limits = small) {
  const auto end = find_head_end(bytes, 0, limits);
  if (!end) return end.error().http_status();
  if (!*end) return -1;  // wants more
  const auto h = check_head(std::string_view(bytes).substr(0, **end), limits);
  return h ? 0 : h.error().http_status();
}

std::string get(const std::string& headers, const std::string& line = "GET / HTTP/1.1") {
  return line + "\r\n" + headers + "\r\n";
}

TEST(head_validator, table) {
  struct {
    const char* what;
    std::string bytes;
    int status;
  } const table[] = {
      {"plain", get("Host: a\r\n"), 0},
      {"HTTP/1.0 without Host", get("", "GET / HTTP/1.0"), 0},
      {"port and IPv6", get("Host: [::1]:8080\r\n"), 0},
      {"length", get("Host: a\r\nContent-Length: 12\r\n", "POST /x HTTP/1.1"), 0},
      {"chunked", get("Host: a\r\nTransfer-Encoding: chunked\r\n", "POST /x HTTP/1.1"), 0},
      {"obs-text in a value", get("Host: a\r\nX: caf\xc3\xa9\r\n"), 0},
      {"tab in a value", get("Host: a\r\nX: a\tb\r\n"), 0},
      {"empty value", get("Host: a\r\nX:\r\n"), 0},
      {"unfinished", "GET / HTTP/1.1\r\nHost: a\r\n", -1},
      {"nothing", "", -1},

      {"bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
      {"bare LF later", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
      {"bare CR", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400},
      {"NUL", std::string("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 33), 400},
      {"control character", get("Host: a\r\nX: \x01\r\n"), 400},
      {"DEL", get("Host: a\r\nX: \x7f\r\n"), 400},
      {"folded line", get("Host: a\r\nX: a\r\n b\r\n"), 400},
      {"folded with a tab", get("Host: a\r\nX: a\r\n\tb\r\n"), 400},
      {"space before the colon", get("Host : a\r\n"), 400},
      {"no colon", get("Host: a\r\nnonsense\r\n"), 400},
      {"empty name", get("Host: a\r\n: x\r\n"), 400},
      {"name that is no token", get("Host: a\r\nX(Y): x\r\n"), 400},
      {"no Host in 1.1", get(""), 400},
      {"two Hosts", get("Host: a\r\nHost: a\r\n"), 400},
      {"empty Host", get("Host:\r\n"), 400},
      {"Host with a path", get("Host: a/b\r\n"), 400},
      {"Host with user info", get("Host: u@a\r\n"), 400},
      {"two lengths", get("Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n"), 400},
      {"list of lengths", get("Host: a\r\nContent-Length: 1, 1\r\n"), 400},
      {"signed length", get("Host: a\r\nContent-Length: +1\r\n"), 400},
      {"negative length", get("Host: a\r\nContent-Length: -1\r\n"), 400},
      {"hexadecimal length", get("Host: a\r\nContent-Length: 0x1\r\n"), 400},
      {"empty length", get("Host: a\r\nContent-Length:\r\n"), 400},
      {"length of 64 bits", get("Host: a\r\nContent-Length: 9223372036854775808\r\n"), 400},
      {"the longest length", get("Host: a\r\nContent-Length: 9223372036854775807\r\n"), 0},
      {"length over everything", get("Host: a\r\nContent-Length: 99999999999999999999999\r\n"), 400},
      {"two credentials", get("Host: a\r\nAuthorization: Bearer a\r\nauthorization: Bearer b\r\n"), 400},
      {"of the whole server", get("Host: a\r\n", "OPTIONS * HTTP/1.1"), 0},
      {"both framings", get("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"identity", get("Host: a\r\nTransfer-Encoding: identity\r\n"), 400},
      {"gzip, chunked", get("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n"), 400},
      {"chunked twice", get("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"chunked in 1.0", get("Transfer-Encoding: chunked\r\n", "POST / HTTP/1.0"), 400},
      {"two words", get("Host: a\r\n", "GET /"), 400},
      {"four words", get("Host: a\r\n", "GET / x HTTP/1.1"), 400},
      {"no method", get("Host: a\r\n", " / HTTP/1.1"), 400},
      {"method that is no token", get("Host: a\r\n", "G@T / HTTP/1.1"), 400},
      {"asterisk", get("Host: a\r\n", "GET * HTTP/1.1"), 400},
      {"absolute form", get("Host: a\r\n", "GET http://a/ HTTP/1.1"), 400},
      {"raw bytes in the target", get("Host: a\r\n", "GET /\xc3\xa9 HTTP/1.1"), 400},
      {"fragment in the target", get("Host: a\r\n", "GET /#x HTTP/1.1"), 400},
      {"CONNECT", get("Host: a\r\n", "CONNECT a:1 HTTP/1.1"), 405},
      {"TRACE", get("Host: a\r\n", "TRACE / HTTP/1.1"), 405},
      {"HTTP/2.0", get("Host: a\r\n", "GET / HTTP/2.0"), 505},
      {"lower-case version", get("Host: a\r\n", "GET / http/1.1"), 400},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"TLS hello", std::string("\x16\x03\x01\x02\x00\x01", 6), 400},
      {"long target", get("Host: a\r\n", "GET /" + std::string(50, 'a') + " HTTP/1.1"), 414},
      {"endless target", "GET /" + std::string(100, 'a'), 414},
      {"too many fields", get("Host: a\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n"), 431},
      {"long head", get("Host: a\r\nX: " + std::string(300, 'a') + "\r\n"), 431},
      {"expectation", get("Host: a\r\nExpect: 200-ok\r\n"), 417},
  };
  for (const auto& row : table) EXPECT_EQ(verdict(row.bytes), row.status) << row.what;
}

TEST(head_validator, what_it_reads) {
  const std::string bytes =
      get("Host: a\r\nConnection: Close\r\nExpect: 100-continue\r\nContent-Length: 7\r\n",
          "POST /p?q=1 HTTP/1.1");
  const auto h = check_head(bytes, small);
  ASSERT_TRUE(h);
  EXPECT_EQ(h->method, "POST");
  EXPECT_EQ(h->target, "/p?q=1");
  EXPECT_EQ(h->content_length, 7u);
  EXPECT_TRUE(h->expects_continue);
  EXPECT_FALSE(h->keep_alive);
  EXPECT_TRUE(h->has_body());
}

TEST(head_validator, keep_alive) {
  struct {
    const char* line;
    const char* headers;
    bool keep;
  } const table[] = {{"GET / HTTP/1.1", "Host: a\r\n", true},
                     {"GET / HTTP/1.1", "Host: a\r\nConnection: keep-alive, close\r\n", false},
                     {"GET / HTTP/1.0", "", false},
                     {"GET / HTTP/1.0", "Connection: Keep-Alive\r\n", true}};
  for (const auto& row : table)
    EXPECT_EQ(check_head(get(row.headers, row.line), small)->keep_alive, row.keep) << row.line << row.headers;
}

TEST(head_validator, the_verdict_does_not_depend_on_how_the_bytes_arrive) {
  const std::string good = get("Host: a\r\nX: y\r\n");
  const std::string bad = get("Host: a\r\nX: \x01\r\n");
  for (const std::string& bytes : {good, bad}) {
    for (std::size_t split = 1; split < bytes.size(); ++split) {
      const auto first = find_head_end(std::string_view(bytes).substr(0, split), 0, small);
      if (!first) {
        EXPECT_EQ(&bytes, &bad == &bytes ? &bad : &bytes);
        EXPECT_EQ(verdict(bytes), 400) << split;
        continue;
      }
      ASSERT_FALSE(*first) << split;
      const auto whole = find_head_end(bytes, split, small);
      EXPECT_EQ(whole && *whole ? 0 : 400, verdict(bytes)) << split;
    }
  }
}

}  // namespace
}  // namespace relay::http
