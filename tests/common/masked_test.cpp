// An upstream that quotes the key.

#include "common/base/masked.hpp"

#include <gtest/gtest.h>

namespace relay {
namespace {

const std::string key = "luma-0123456789abcdef";

std::string streamed(std::string_view text, std::size_t step) {
  std::string out;
  masking_stream s(key, [&out](std::string_view part) { out += part; });
  for (std::size_t i = 0; i < text.size(); i += step) s.feed(text.substr(i, step));
  s.end();
  return out;
}

TEST(masked, the_secret_is_gone_however_it_comes) {
  const struct {
    std::string text;
    std::string want;
  } table[] = {
      {"", ""},
      {"nothing here", "nothing here"},
      {key, "[secret]"},
      {"Invalid key " + key + ", twice: " + key, "Invalid key [secret], twice: [secret]"},
      {key.substr(0, 20), key.substr(0, 20)},
      {key.substr(0, 20) + key, key.substr(0, 20) + "[secret]"},
      {"lluma-0123456789abcdef", "l[secret]"},
      {"luma-luma-0123456789abcdef.", "luma-[secret]."},
  };
  for (const auto& row : table) {
    EXPECT_EQ(masked(row.text, key), row.want);
    for (const std::size_t step : {1u, 2u, 5u, 1000u}) EXPECT_EQ(streamed(row.text, step), row.want) << step;
  }
  for (const auto& row : table) EXPECT_EQ(quotes(row.text, key), row.want.contains("[secret]")) << row.text;
  EXPECT_EQ(masked("the word key", "key"), "the word key") << "too short to be told from other text";
  EXPECT_EQ(masked("text", ""), "text");
}

// JSON says the same text in many ways, and a text in a text once more.
TEST(masked, escapes_do_not_hide_it) {
  const std::string odd = R"(sk/Abc+d\f"0123456789)";
  const auto check = [](std::string_view secret, const std::string& text, const std::string& want) {
    EXPECT_EQ(masked(text, secret), want) << text;
    EXPECT_EQ(quotes(text, secret), want.contains("[secret]")) << text;
    for (const std::size_t step : {1u, 3u, 1000u}) {
      std::string out;
      masking_stream s(secret, [&out](std::string_view part) { out += part; });
      for (std::size_t i = 0; i < text.size(); i += step) s.feed(std::string_view(text).substr(i, step));
      s.end();
      EXPECT_EQ(out, want) << text << " by " << step;
    }
  };
  check(odd, R"({"detail":"key sk\/Abc+d\\f\"0123456789 is bad"})", R"({"detail":"key [secret] is bad"})");
  check(odd, R"("sk\u002fAbc\u002Bd\u005cf\u00220123456789")", R"("[secret]")");
  check(odd, R"("\u0073k/Abc+d\\f\"012345678\u0039")", R"("[secret]")");
  check(odd, R"("{\"detail\":\"sk\\\/Abc+d\\\\f\\\"0123456789\"}")", R"("{\"detail\":\"[secret]\"}")");
  check(odd, R"("sk\u002eAbc+d\\f\"0123456789")", R"("sk\u002eAbc+d\\f\"0123456789")");
  check(odd, R"("sk\/Abc+d\\f\"012345678")", R"("sk\/Abc+d\\f\"012345678")");
  check(key, R"(luma-\u0030123456789abcdef, lum\u0061-0123456789abcdef)", "[secret], [secret]");
  check(key, R"(l\u0075ma-0123456789abcdef, l\uma-0123456789abcdef, l\\u0075ma-0123456789abcdef)",
        "[secret], [secret], [secret]");
  check(key, R"(\\\\\\\\\\\\\\\\\\\\\\\\\\)", R"(\\\\\\\\\\\\\\\\\\\\\\\\\\)");
  check(key, R"(luma-\u003)", R"(luma-\u003)");
  const std::string slashes = R"(\\\\\\%t=;%3-a-secret)";
  check(slashes, "x" + slashes + "y", "x[secret]y");
  check(slashes, R"(\\)" + slashes, R"(\\[secret])");
}

}  // namespace
}  // namespace relay
