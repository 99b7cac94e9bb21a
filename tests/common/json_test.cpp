#include "common/base/json.hpp"

#include <gtest/gtest.h>

namespace relay {
namespace {

std::string nested(int depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(json, what_strict_takes) {
  for (const std::string& text : {std::string(R"({"a":1,"b":[true,null,"x"],"c":{"a":2}})"),
                                  std::string("  [1.5e3]  "), std::string(R"("\u00e9")"), nested(32)}) {
    EXPECT_TRUE(parse_strict(text)) << text;
  }
}

TEST(json, what_strict_refuses) {
  struct {
    std::string text;
    std::string says;
  } const table[] = {
      {"", "ends too early"},
      {"{", "ends too early"},
      {R"({"a":1)", "ends too early"},
      {R"({"a":1} x)", "text after the JSON value"},
      {R"({"a":1,"a":2})", R"(the key "a" appears twice)"},
      {R"({"b":{"a":1,"\u0061":2}})", R"(the key "a" appears twice)"},
      {"[1e999]", "out of range"},
      {"[-1e999]", "out of range"},
      {R"(["a\u0000b"])", "U+0000"},
      {R"({"a\u0000b":1})", "U+0000"},
      {nested(33), "32 levels"},
      {std::string("[\"\xff\"]"), ""},
      {std::string("[\"\xc0\xaf\"]"), ""},
      {"{'a':1}", ""},
      {"[1,]", ""},
      {"nul", ""},
      {"NaN", ""},
      {"// c\n1", ""},
  };
  for (const auto& row : table) {
    const auto v = parse_strict(row.text);
    ASSERT_FALSE(v) << row.text;
    EXPECT_EQ(v.error().code, errc::invalid_request);
    EXPECT_NE(v.error().message.text.find("not valid JSON at byte"), std::string::npos)
        << v.error().message.text;
    EXPECT_NE(v.error().message.text.find(row.says), std::string::npos)
        << row.text << " -> " << v.error().message.text;
    ASSERT_EQ(v.error().violations.size(), 1u);
    EXPECT_EQ(v.error().violations[0].type, "json_invalid");
  }
}

TEST(json, equal_keys_in_different_objects_are_fine) {
  EXPECT_TRUE(parse_strict(R"([{"a":{"a":1}},{"a":2}])"));
}

TEST(json, cut_keeps_characters_whole) {
  EXPECT_EQ(cut("abc", 10), "abc");
  EXPECT_EQ(cut("aé", 2), "a");
  EXPECT_EQ(cut("中文", 4), "中");
}

TEST(json, code_points_are_not_bytes) {
  EXPECT_EQ(code_points("中文"), 2u);
  EXPECT_EQ(code_points("a😀"), 2u);
}

}  // namespace
}  // namespace relay
