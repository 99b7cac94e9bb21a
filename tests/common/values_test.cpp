// Small values: times, ids, tokens, URLs, secrets.

#include <gtest/gtest.h>

#include <bit>
#include <set>
#include <sstream>

#include "common/base/asked_again.hpp"
#include "common/base/id.hpp"
#include "common/base/secret.hpp"
#include "common/base/text.hpp"
#include "common/base/text_hash.hpp"
#include "common/base/time.hpp"
#include "common/base/trace_context.hpp"
#include "common/base/url.hpp"
#include "common/engine/token.hpp"

namespace relay {
namespace {

TEST(url, a_text_as_a_segment_of_a_path) {
  EXPECT_EQ(path_segment("01a1-B.c_d~e:f"), "01a1-B.c_d~e:f");
  EXPECT_EQ(path_segment("../x y|%2f+=?#\xC3\xA9"), "..%2Fx%20y%7C%252f%2B%3D%3F%23%C3%A9");
  EXPECT_EQ(path_segment("a\r\nb"), "a%0D%0Ab");
}

TEST(time, rfc_3339) {
  const timestamp t{std::chrono::microseconds(1'732'715'456'313'494)};
  EXPECT_EQ(to_iso(t, precision::microseconds), "2024-11-27T13:50:56.313494Z");
  EXPECT_EQ(to_iso(t, precision::milliseconds), "2024-11-27T13:50:56.313Z");
  EXPECT_EQ(to_unix(t), 1'732'715'456);
  EXPECT_EQ(to_unix(never), 0);
  EXPECT_EQ(to_iso(timestamp{std::chrono::microseconds(7)}, precision::microseconds),
            "1970-01-01T00:00:00.000007Z");
}

TEST(time, dates_of_http) {
  const auto date = from_http_date("Sun, 06 Nov 1994 08:49:37 GMT");
  ASSERT_TRUE(date);
  EXPECT_EQ(to_iso(*date, precision::milliseconds), "1994-11-06T08:49:37.000Z");
  for (const char* none : {"", "120", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
                           "Sun, 06 Nox 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT",
                           "Sun, 06 Nov 1994 08:49:37 CET", "Sun, xx Nov 1994 08:49:37 GMT"})
    EXPECT_FALSE(from_http_date(none)) << none;
}

TEST(text, becomes_valid_utf_8) {
  const struct {
    std::string_view text;
    std::string_view want;
  } table[] = {
      {"", ""},
      {"plain", "plain"},
      {"\u00e9\u4e2d\U0001F600", "\u00e9\u4e2d\U0001F600"},
      {"a\xff"
       "b",
       "a\uFFFD"
       "b"},
      {"\xc3", "\uFFFD"},
      {"\xc0\xaf", "\uFFFD\uFFFD"},                      // overlong
      {"\xed\xa0\x80", "\uFFFD\uFFFD\uFFFD"},            // a surrogate
      {"\xf4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // beyond U+10FFFF
      {"\xe4\xb8", "\uFFFD\uFFFD"},                      // cut off
      {"\x80x", "\uFFFDx"},
  };
  for (const auto& row : table) EXPECT_EQ(as_utf8(row.text), row.want);
}

TEST(text_for_log, every_byte_at_every_place_stands_for_itself_or_is_escaped) {
  const auto escaped = [](char c) -> std::string {
    static constexpr char hex[] = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') return {'\\', c};
    if (byte < 0x20 || byte == 0x7f) return {'\\', 'x', hex[byte >> 4], hex[byte & 15]};
    return {c};
  };
  for (std::size_t length = 1; length <= 20; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(length, 'a');
        text[at] = static_cast<char>(byte);
        const std::string want = std::string(at, 'a') + escaped(text[at]) + std::string(length - at - 1, 'a');
        ASSERT_EQ(for_log(text), want) << byte << " at " << at << " of " << length;
      }
    }
  }
  EXPECT_EQ(for_log("a long line\nthat is cut", 13), "a long line\\x0at…");
}

// Texts of all lengths that differ in one bit have hashes that differ in many; none is read past its end.
TEST(text_hash, each_bit_counts) {
  const text_hash hash;
  std::set<std::size_t> seen;
  std::size_t texts = 0;
  std::size_t bits_changed = 0;
  for (std::size_t length = 0; length <= 40; ++length) {
    const std::string plain(length, 'a');
    const std::size_t base = hash(plain);
    seen.insert(base);
    ++texts;
    for (std::size_t bit = 0; bit < 8 * length; ++bit) {
      std::string other = plain;
      other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << (bit % 8)));
      const std::size_t h = hash(other);
      EXPECT_GT(std::popcount(h ^ base), 8) << length << " " << bit;
      bits_changed += static_cast<std::size_t>(std::popcount(h ^ base));
      seen.insert(h);
      ++texts;
    }
  }
  EXPECT_EQ(seen.size(), texts);
  EXPECT_NEAR(static_cast<double>(bits_changed) / static_cast<double>(texts - 41), 32, 1);
  EXPECT_EQ(hash(std::string_view("abcdefgh-tail").substr(0, 8)), hash("abcdefgh"));
}

TEST(asked_again, is_what_was_asked_a_short_while_ago) {
  asked_again again(1'000);
  EXPECT_FALSE(again("a"));
  EXPECT_TRUE(again("a"));
  EXPECT_FALSE(again("a", 1)) << "of another kind";
  EXPECT_TRUE(again("a", 1));
  // Hundreds at once do not keep each other out.
  asked_again many(8'192);
  int known = 0;
  for (int round = 0; round < 3; ++round) {
    known = 0;
    for (int i = 0; i < 500; ++i) known += many("job-" + std::to_string(i)) ? 1 : 0;
  }
  EXPECT_EQ(known, 500);
  // Others make a key be forgotten, never be taken for one that was asked.
  int repeated = 0;
  for (int i = 0; i < 10'000; ++i) repeated += again("walk-" + std::to_string(i)) ? 1 : 0;
  EXPECT_EQ(repeated, 0);
  EXPECT_FALSE(again("a"));
}

TEST(url, what_has_a_scheme) {
  for (const char* yes : {"http://x", "ftp://x/y", "javascript:alert(1)", "mailto:a@b", "HTTP:", "x-y+z.1:w"})
    EXPECT_TRUE(has_scheme(yes)) << yes;
  for (const char* no : {"", "xxx", "localhost:8080/x", "/path:x", "1a:x", "a b:c", ":x", "example.com/x"})
    EXPECT_FALSE(has_scheme(no)) << no;
}

TEST(id, is_a_uuid_of_version_7_that_begins_with_the_time) {
  const timestamp t{std::chrono::milliseconds(0x0193'6e4f'a1b2)};
  id_entropy random;
  random.fill(0xff);
  EXPECT_EQ(make_id(t, random), "01936e4f-a1b2-7fff-bfff-ffffffffffff");
  random.fill(0);
  EXPECT_EQ(make_id(t, random), "01936e4f-a1b2-7000-8000-000000000000");
  EXPECT_LT(make_id(t, random), make_id(t + milliseconds(1), random));
}

TEST(id, forms) {
  EXPECT_TRUE(is_uuid("9d4b7516-77e5-481a-b015-48313946f33b"));
  EXPECT_TRUE(is_uuid("9D4B7516-77E5-481A-B015-48313946F33B"));
  for (const char* no :
       {"", "9d4b7516", "9d4b7516-77e5-481a-b015-48313946f33", "9d4b7516x77e5-481a-b015-48313946f33b",
        "9d4b7516-77e5-481a-b015-48313946f33g", "9d4b7516-77e5-481a-b015-48313946f33bb"}) {
    EXPECT_FALSE(is_uuid(no)) << no;
  }
  EXPECT_EQ(normalise_id("9D4B7516-77E5-481A-B015-48313946F33B"), "9d4b7516-77e5-481a-b015-48313946f33b");
  EXPECT_EQ(normalise_id("Not-An-Id"), "Not-An-Id");
}

TEST(token, is_its_prefix_and_256_bits) {
  std::array<unsigned char, 32> random;
  random.fill(0);
  EXPECT_EQ(make_token(random), "luma-relay-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
  for (std::size_t i = 0; i < random.size(); ++i) random[i] = static_cast<unsigned char>(0xff - i);
  EXPECT_EQ(make_token(random), "luma-relay-__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA");
}

TEST(token, digest_is_sha_256) {
  const sha256_digest d = sha256("abc");  // FIPS 180-2, appendix B.1
  EXPECT_EQ(d[0], 0xba);
  EXPECT_EQ(d[1], 0x78);
  EXPECT_EQ(d[31], 0xad);
  EXPECT_TRUE(same_digest(d, sha256("abc")));
  EXPECT_FALSE(same_digest(d, sha256("abd")));
}

TEST(token, credential_of_a_header) {
  struct {
    const char* header;
    const char* key;
  } const table[] = {
      {"Bearer k", "k"},      {"bearer k", "k"},  {"BEARER   k  ", "k"},  {"k", "k"},
      {"  k ", "k"},          {"", ""},           {"Bearer", ""},         {"Bearer ", ""},
      {"Bearerk", "Bearerk"}, {"Bearer\tk", "k"}, {"Basic x", "Basic x"},
  };
  for (const auto& row : table) EXPECT_EQ(credential(row.header), row.key) << '"' << row.header << '"';
}

TEST(token, names) {
  for (const char* yes : {"a", "team-1", "A.b_c@d"}) EXPECT_TRUE(valid_token_name(yes)) << yes;
  for (const std::string& no :
       {std::string(), std::string("a b"), std::string("ä"), std::string(65, 'x'), std::string("a\nb")}) {
    EXPECT_FALSE(valid_token_name(no)) << no;
  }
}

TEST(secret, does_not_print) {
  std::ostringstream out;
  out << secret("luma-123");
  EXPECT_EQ(out.str(), "[secret]");
}

TEST(url, base_addresses) {
  const auto luma = parse_base_url("https://api.lumalabs.ai/dream-machine/v1/");
  ASSERT_TRUE(luma);
  EXPECT_EQ(*luma, (base_url{true, "api.lumalabs.ai", 443, "/dream-machine/v1"}));
  EXPECT_EQ(luma->authority(), "api.lumalabs.ai");
  const auto v6 = parse_base_url("http://[::1]:8080");
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->authority(), "[::1]:8080");
  for (const char* no : {"", "api.lumalabs.ai", "ftp://x", "https://", "https://u:p@x", "https://x?a=b",
                         "https://x#f", "https://x:99999", "https://x:0"}) {
    EXPECT_FALSE(parse_base_url(no)) << no;
  }
}

TEST(url, what_may_be_called_back) {
  EXPECT_TRUE(is_web_url("https://example.com/hook?x=1"));
  EXPECT_TRUE(is_web_url("http://10.0.0.1:8080/"));
  for (const std::string& no : {std::string("xxx"), std::string("javascript:alert(1)"),
                                std::string("https:///x"), "https://example.com/" + std::string(2048, 'a')}) {
    EXPECT_FALSE(is_web_url(no)) << no.substr(0, 60);
  }
}

TEST(trace_context, only_what_the_standard_calls_one_is_passed_on) {
  const std::string good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  EXPECT_TRUE(valid_traceparent(good));
  EXPECT_TRUE(valid_traceparent("00-00000000000000000000000000000001-0000000000000001-00"));
  const std::string table[] = {"",
                               good + "-x",
                               good.substr(1),
                               "01" + good.substr(2),
                               "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                               "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                               "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                               "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                               "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
                               "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333\r-01"};
  for (const std::string& bad : table) EXPECT_FALSE(valid_traceparent(bad)) << bad;
}

}  // namespace
}  // namespace relay
