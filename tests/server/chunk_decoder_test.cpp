#include "server/http/chunk_decoder.hpp"

#include <gtest/gtest.h>

namespace relay::http {
namespace {

struct verdict {
  std::string body;
  std::string error;  // empty: none
  bool done = false;
  std::size_t used = 0;
};

verdict decode(std::string_view bytes, std::size_t step, chunk_limits limits = {}) {
  chunk_decoder d(limits);
  verdict out;
  for (std::size_t at = 0; at < bytes.size() && !d.done(); at += step) {
    const auto taken = d.feed(bytes.substr(at, step), out.body);
    if (!taken) {
      out.error = taken.error().log.text;
      return out;
    }
    out.used += *taken;
  }
  out.done = d.done();
  return out;
}

TEST(chunk_decoder, table) {
  const std::string next = "GET / HTTP/1.1\r\n";
  const struct {
    std::string bytes;
    std::string body;
    const char* error;  // empty: it is whole; "more": it is not yet
  } table[] = {
      {"0\r\n\r\n", "", ""},
      {"3\r\nabc\r\n0\r\n\r\n", "abc", ""},
      {"3\r\nabc\r\n0\r\n\r\n" + next, "abc", ""},
      {"3\r\nabc\r\nA\r\n0123456789\r\n00\r\n\r\n", "abc0123456789", ""},
      {"3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n", "abc", ""},
      {"3 ;a\r\nabc\r\n0\t\r\n\r\n", "abc", ""},
      // Trailer fields are taken and thrown away.
      {"3\r\nabc\r\n0\r\nX-Checksum: 1\r\nAuthorization: Bearer x\r\n\r\n" + next, "abc", ""},
      {"3\r\nabc\r\n0\r\nEmpty:\r\n\r\n", "abc", ""},
      // Not there yet.
      {"", "", "more"},
      {"3", "", "more"},
      {"3\r\nab", "ab", "more"},
      {"3\r\nabc\r\n", "abc", "more"},
      {"3\r\nabc\r\n0\r\n", "abc", "more"},
      {"3\r\nabc\r\n0\r\nA: b\r\n", "abc", "more"},
      {"3\r\nabc\r\n0\r\n\r", "abc", "more"},
      // Refused at the byte that is wrong.
      {"\r\n", "", "hexadecimal"},
      {"zz\r\n", "", "hexadecimal"},
      {"-1\r\n", "", "hexadecimal"},
      {"+1\r\n", "", "hexadecimal"},
      {"0x1\r\n", "", "hexadecimal"},
      {"1g\r\n", "", "hexadecimal"},
      {" 1\r\n", "", "hexadecimal"},
      {"0000000000000001\r\n", "", "too many digits"},
      {"fffffffffffffff\r\n", "", "longer than"},
      {"3\nabc\r\n0\r\n\r\n", "", "CR LF"},
      {"3;a\nabc", "", "control character"},
      {"3\r\r\n", "", "CR LF"},
      {"3\r\nabcd\r\n", "abc", "longer than its size"},
      {"3\r\nabc\n0\r\n", "abc", "longer than its size"},
      {"3\r\nabc\r0\r\n", "abc", "end in CR LF"},
      {"0\r\n\n", "", "control character in the trailer"},
      {"0\r\n\r\r\n", "", "CR LF"},
      {"0\r\nX: y\n\r\n", "", "control character in the trailer"},
      {"0\r\nno colon\r\n\r\n", "", "no header field"},
      {"0\r\n folded: x\r\n\r\n", "", "no header field"},
      {"0\r\n: x\r\n\r\n", "", "no header field"},
      {"0\r\nGET / HTTP/1.1\r\n\r\n", "", "no header field"},
  };
  for (const auto& row : table) {
    // However the bytes arrive.
    for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{1'000}}) {
      const verdict v = decode(row.bytes, step);
      const std::string where = ::testing::PrintToString(row.bytes) + " by " + std::to_string(step);
      const std::string_view expected = row.error;
      EXPECT_EQ(v.body, row.body) << where;
      EXPECT_EQ(v.done, expected.empty()) << where;
      if (expected.empty() || expected == "more") {
        EXPECT_EQ(v.error, "") << where;
      } else {
        EXPECT_NE(v.error.find(expected), std::string::npos) << where << ": " << v.error;
      }
      if (expected.empty() && row.bytes.ends_with(next))
        EXPECT_EQ(v.used, row.bytes.size() - next.size()) << where << ": the next request is left alone";
    }
  }
}

TEST(chunk_decoder, limits) {
  const chunk_limits limits{10, 20};
  EXPECT_EQ(decode("a\r\n0123456789\r\n0\r\n\r\n", 7, limits).error, "");
  EXPECT_NE(decode("b\r\n", 7, limits).error.find("longer than the 10 bytes"), std::string::npos);
  EXPECT_NE(decode("9\r\n012345678\r\n2\r\n", 7, limits).error.find("longer than"), std::string::npos);
  // Extensions and trailer fields count together, over all chunks.
  std::string many;
  for (int i = 0; i < 7; ++i) many += "1;ab\r\nx\r\n";
  EXPECT_NE(decode(many, 7, limits).error.find("more than 20 bytes of chunk extensions"), std::string::npos);
  EXPECT_NE(
      decode("1;ab\r\nx\r\n0\r\nName: " + std::string(20, 'v'), 7, limits).error.find("more than 20 bytes"),
      std::string::npos);
}

}  // namespace
}  // namespace relay::http
