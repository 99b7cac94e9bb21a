// JSON as text: the bytes of json::serialize, whatever the value.

#include <gtest/gtest.h>

#include "common/base/json_arena.hpp"
#include "common/base/json_text.hpp"

namespace relay::test {
namespace {

TEST(json_text, every_byte_at_every_place_is_written_as_the_library_writes_it) {
  for (std::size_t length = 1; length <= 17; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(length, 'x');
        text[at] = static_cast<char>(byte);
        std::string out;
        append_json(out, std::string_view(text));
        ASSERT_EQ(out, json::serialize(json::string(text))) << length << " " << at << " " << byte;
      }
    }
  }
}

TEST(json_text, values_are_written_as_the_library_writes_them) {
  for (const char* text :
       {"null", "true", "false", "0", "-1", "9223372036854775807", "-9223372036854775808",
        "18446744073709551615", "0.1", "1e300", "-2.5e-10", "1.0", R"("")", R"("a\"b\\c\/d\b\f\n\r\té€😀")",
        "[]", "{}", "[[],[{}],[1,2,[3]]]", R"({"a":{"b":[1,"x",null,true],"":""},"ü":-0.0})"}) {
    json_arena memory;
    const json::value v = parse_lenient(text, memory.storage()).value();
    std::string out = "before ";
    append_json(out, v);
    EXPECT_EQ(out, "before " + json::serialize(v));
  }
}

TEST(json_text, an_object_is_written_member_by_member) {
  std::string out;
  json_object_writer w(out);
  w.member("text", "a\nb");
  w.member("number", std::int64_t{-7});
  w.member("yes", true);
  w.member("nothing", nullptr);
  json_object_writer inner(w.key("inner"));
  inner.end();
  w.key("raw").append("[1]");
  w.end();
  EXPECT_EQ(out, R"({"text":"a\nb","number":-7,"yes":true,"nothing":null,"inner":{},"raw":[1]})");
}

// What is larger than the arena's first bytes lives in it all the same.
TEST(json_text, an_arena_takes_what_is_needed) {
  json_arena memory;
  std::string text = "[";
  for (int i = 0; i < 5'000; ++i)
    text += "{\"key\":\"a text that needs memory of its own, number " + std::to_string(i) + "\"},";
  text.back() = ']';
  const auto v = parse_strict(text, memory.storage());
  ASSERT_TRUE(v);
  std::string out;
  append_json(out, *v);
  EXPECT_EQ(out, text);
  const json::value copy = *v;
  EXPECT_EQ(copy.storage().get(), memory.storage().get()) << "a copy lives there too";
  const json::value kept(*v, json::storage_ptr());
  EXPECT_EQ(kept.storage().get(), json::storage_ptr().get());
}

}  // namespace
}  // namespace relay::test
