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
  EXPECT_EQ(masked("the word key", "key"), "the word key") << "too short to be told from other text";
  EXPECT_EQ(masked("text", ""), "text");
}

}  // namespace
}  // namespace relay
