// How an upstream's list is read: its items out of bytes that come in parts, and page after page.

#include "common/engine/list_walk.hpp"

#include <gtest/gtest.h>

#include "common/engine/matching.hpp"
#include "tests/support/luma.hpp"

namespace relay {
namespace {

// The items as they are seen, "-" for one that is too long, then the object without them; "no" at the end
// when it was no whole object. The text comes in parts of `step` bytes.
std::string items_of(std::string_view text, std::size_t step, std::size_t max_item = 40) {
  std::string out;
  json_items items("list", max_item, [&out](std::optional<std::string_view> item) {
    out += std::string(item.value_or("-")) + "\n";
  });
  for (std::size_t i = 0; i < text.size(); i += step) items.feed(text.substr(i, step));
  const auto rest = items.end();
  return out + (rest ? json::serialize(*rest) : "no");
}

TEST(json_items, one_after_the_other_however_the_bytes_come) {
  const std::string deep = std::string(15, '[') + std::string(15, ']');
  const std::string bottomless = std::string(5'000, '[') + std::string(5'000, ']');
  struct {
    std::string text;
    std::string want;
  } const table[] = {
      {R"({"list":[]})", R"({"list":[]})"},
      {R"({"list":[1,{"a":[2,3]},"x,]y"],"more":true})",
       "1\n{\"a\":[2,3]}\n\"x,]y\"\n{\"list\":[],\"more\":true}"},
      {R"( { "more" : false , "list" : [ { "a" : "b c" } , null ] } )",
       "{\"a\":\"b c\"}\nnull\n{\"more\":false,\"list\":[]}"},
      {R"({"list":["a\"],b","\\"]})", "\"a\\\"],b\"\n\"\\\\\"\n{\"list\":[]}"},
      {R"({"other":[1,2],"list":[3]})", "3\n{\"other\":[1,2],\"list\":[]}"},
      {R"({"o":{"list":[1]},"list":[2]})", "2\n{\"o\":{\"list\":[1]},\"list\":[]}"},
      {R"({"list":[)" + deep + R"(,1]})", deep + "\n1\n{\"list\":[]}"},
      {R"({"list":[)" + bottomless + R"(,1]})", "-\n1\n{\"list\":[]}"},
      {R"({"list":[")" + std::string(50, 'x') + R"(",1]})", "-\n1\n{\"list\":[]}"},
      {R"({"list":[1,,2]})", "1\n\n2\n{\"list\":[]}"},
      {R"({"list":{}})", R"({"list":{}})"},
      {"", "no"},
      {"[]", "no"},
      {R"({"list":[1,2)", "1\nno"},
      {R"({"list":[1]}})", "1\nno"},
      {R"({"list":["a)", "no"},
      {"<html>", "no"},
      {R"({"x":")" + std::string(70'000, 'x') + R"(","list":[1]})", "no"},
  };
  for (const auto& row : table) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{100'000}})
      EXPECT_EQ(items_of(row.text, step), row.want) << row.text.substr(0, 80) << " in steps of " << step;
  }
}

result<listed_page> page_of(std::string_view text) {
  page_reader r(luma::official_protocol);
  r.feed(text);
  return r.end();
}

TEST(page_reader, a_page_of_the_list) {
  const auto page = page_of(
      R"({"has_more":true,"count":1,"generations":[{"id":"u-1","state":"completed","created_at":"2024-11-27T13:50:56.313494Z"}]})");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->has_more, true);
  EXPECT_EQ(page->items, 1u);
  EXPECT_EQ(page->jobs.at(0).reported.id, "u-1");
  EXPECT_EQ(to_iso(page->jobs.at(0).created_at, precision::microseconds), "2024-11-27T13:50:56.313494Z");
  EXPECT_EQ(page_of(R"({"generations":[]})")->has_more, std::nullopt);
  EXPECT_TRUE(page_of(R"({"generations":[]})")->jobs.empty());
  for (const char* bad : {"", "[]", "{}", R"({"generations":{}})", "<html>", R"({"generations":[1)"})
    EXPECT_FALSE(page_of(bad)) << bad << ": half a list must prove nothing";
}

// Rule M9: what cannot be read hides nothing of the rest.
TEST(page_reader, odd_items_are_stepped_over_and_counted) {
  const std::string deep = std::string(300, '[') + std::string(300, ']');
  const std::string good = R"({"id":"u-1","state":"queued"})";
  for (const std::string& odd :
       {std::string("1"), std::string("null"), std::string(R"({"state":"queued"})"),
        std::string(R"({"id":null,"state":"queued"})"), std::string(R"({"id":"..","state":"queued"})"),
        R"({"id":"u-2","x":)" + deep + "}", std::string(R"({"id":"u-2")")}) {
    const auto page = page_of(R"({"generations":[)" + good + "," + odd + "," + good + "]}");
    if (odd.starts_with(R"({"id":"u-2")") && !odd.ends_with('}')) {
      EXPECT_FALSE(page) << "unbalanced";
      continue;
    }
    ASSERT_TRUE(page) << odd;
    EXPECT_EQ(page->items, 3u);
    EXPECT_EQ(page->jobs.size(), 2u) << odd;
    EXPECT_EQ(page->odd, std::vector<std::size_t>{1}) << odd;
  }
  // As deep as a client may nest a field, inside what the upstream shows of its request.
  const std::string nested = std::string(31, '[') + std::string(31, ']');
  EXPECT_EQ(page_of(R"({"generations":[{"id":"u-1","state":"queued","request":{"x":)" + nested + "}}]}")
                ->jobs.size(),
            1u);
}

constexpr list_walk::news apart{false, true}, joined{true, true}, known{true, false};

listed_page page_with(std::size_t items, std::optional<bool> more = std::nullopt) {
  listed_page p;
  p.items = items;
  p.has_more = more;
  return p;
}

TEST(list_walk, pages_overlap) {
  list_walk w;
  EXPECT_EQ(w.limit(), 100u);
  EXPECT_TRUE(w.advance(page_with(100), apart));
  EXPECT_EQ(w.offset(), 90u);
  EXPECT_TRUE(w.advance(page_with(20), joined));
  EXPECT_EQ(w.offset(), 108u);
  EXPECT_TRUE(w.advance(page_with(2), joined));
  EXPECT_EQ(w.offset(), 109u);
  EXPECT_TRUE(w.advance(page_with(1), joined));
  EXPECT_EQ(w.offset(), 110u);
  EXPECT_FALSE(w.advance(page_with(0), apart)) << "the end";
}

// An upstream that says so of every page is not believed.
TEST(list_walk, the_last_page_says_so_and_the_next_has_nothing_new) {
  list_walk w;
  EXPECT_TRUE(w.advance(page_with(100, false), apart));
  EXPECT_TRUE(w.advance(page_with(20, false), joined));
  EXPECT_FALSE(w.advance(page_with(2, false), known));
}

// Jobs that go move the rest up: some would be stepped over.
TEST(list_walk, goes_back_when_a_page_does_not_join) {
  list_walk w;
  w.advance(page_with(100), apart);
  ASSERT_EQ(w.offset(), 90u);
  EXPECT_TRUE(w.advance(page_with(40, false), apart)) << "even when it is the last page";
  EXPECT_EQ(w.offset(), 0u);
  EXPECT_TRUE(w.advance(page_with(100), joined));
  EXPECT_EQ(w.offset(), 90u);
}

TEST(list_walk, too_much_is_halved_down_to_one_item) {
  list_walk w;
  w.advance(page_with(100), apart);
  std::vector<std::size_t> limits;
  while (w.halve()) limits.push_back(w.limit());
  EXPECT_EQ(limits, (std::vector<std::size_t>{50, 25, 12, 6, 3, 1}));
  EXPECT_EQ(w.offset(), 90u) << "it goes on where it stood";
  w.skip_item();
  EXPECT_EQ(w.offset(), 91u);
  EXPECT_TRUE(w.advance(page_with(1), apart)) << "behind a skipped item nothing joins";
  EXPECT_EQ(w.offset(), 92u);
  EXPECT_EQ(w.limit(), 2u) << "and it grows again";
}

}  // namespace
}  // namespace relay
