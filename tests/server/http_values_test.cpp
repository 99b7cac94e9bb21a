// The pure parts of the HTTP front end beside the gate.

#include <gtest/gtest.h>

#include "common/base/text.hpp"
#include "server/http/message.hpp"
#include "server/http/router.hpp"
#include "server/log.hpp"

namespace relay::http {
namespace {

// A whole response, as it goes out.
void serialise(const reply& r, const reply_frame& frame, std::string_view date, std::string& out) {
  serialise_head(r, frame, date, out);
  out += body_after_head(r, frame);
}

TEST(message, a_response_is_one_buffer) {
  reply r = json_reply(201, {{"a", 1}});
  r.add_header("X-Evil", "a\r\nSet-Cookie: x");
  std::string out;
  serialise(r, {"id-1", true, false, false}, "Sun, 06 Nov 1994 08:49:37 GMT", out);
  EXPECT_EQ(out,
            "HTTP/1.1 201 Created\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: luma-relay\r\n"
            "Content-Type: application/json\r\nContent-Length: 7\r\nCache-Control: no-store\r\nX-Request-Id: "
            "id-1\r\n"
            "X-Evil: aSet-Cookie: x\r\n\r\n{\"a\":1}");
}

TEST(message, head_close_and_no_content) {
  reply r = json_reply(200, {{"a", 1}});
  std::string out;
  serialise(r, {"i", false, false, true}, "D", out);
  EXPECT_TRUE(out.ends_with("\r\n\r\n")) << out;
  EXPECT_NE(out.find("Content-Length: 7\r\n"), std::string::npos);
  EXPECT_NE(out.find("Connection: close\r\n"), std::string::npos);
  r = {};
  r.status = 204;
  out.clear();
  serialise(r, {"i", true, true, false}, "D", out);
  EXPECT_EQ(out.find("Content-Length"), std::string::npos);
  EXPECT_NE(out.find("Connection: keep-alive\r\n"), std::string::npos);
}

TEST(message, dates) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(message, percent_encoding_and_queries) {
  EXPECT_EQ(percent_decode("a%2Fb%20c"), "a/b c");
  for (const char* no : {"%", "%2", "%zz", "a%00", "%0d"}) EXPECT_FALSE(percent_decode(no)) << no;
  EXPECT_EQ(query_value("limit=5&offset=10", "offset"), "10");
  EXPECT_EQ(query_value("limit", "limit"), "");
  EXPECT_FALSE(query_value("xlimit=5", "limit"));
  EXPECT_FALSE(query_value("", "limit"));
}

constexpr route_pattern table[] = {{verb::post, "/g"},
                                   {verb::get, "/g"},
                                   {verb::get, "/g/{id}"},
                                   {verb::get, "/g/list"},
                                   {verb::post, "/g/{id}/extend"},
                                   {verb::get, "/g/{id}/url"}};

TEST(router, finds) {
  struct {
    verb method;
    const char* path;
    int index;  // -1: no path, -2: no method
    const char* id;
  } const rows[] = {
      {verb::post, "/g", 0, ""},       {verb::get, "/g", 1, ""},
      {verb::head, "/g", 1, ""},       {verb::get, "/g/1", 2, "1"},
      {verb::get, "/g/list", 3, ""},   {verb::post, "/g/1/extend", 4, "1"},
      {verb::get, "/g/1/url", 5, "1"}, {verb::get, "/g/1/extend", -2, ""},
      {verb::delete_, "/g/1", -2, ""}, {verb::get, "/g/", -1, ""},
      {verb::get, "/g//url", -1, ""},  {verb::get, "/g/1/2", -1, ""},
      {verb::get, "/", -1, ""},        {verb::get, "/G", -1, ""},
  };
  for (const auto& row : rows) {
    const route_match m = find_route(table, row.method, row.path);
    using kind = route_match::kind;
    EXPECT_EQ(m.what, row.index >= 0    ? kind::found
                      : row.index == -1 ? kind::no_path
                                        : kind::no_method)
        << row.path;
    if (row.index >= 0) {
      EXPECT_EQ(m.index, static_cast<std::size_t>(row.index)) << row.path;
      EXPECT_EQ(m.id, row.id) << row.path;
    }
  }
  EXPECT_EQ(find_route(table, verb::delete_, "/g").allow, "POST, GET, HEAD, OPTIONS");
}

TEST(log, what_comes_from_outside_stays_on_its_line) {
  EXPECT_EQ(for_log("a\nb\x1b[31m\"c\\"), "a\\x0ab\\x1b[31m\\\"c\\\\");
  EXPECT_EQ(for_log(std::string(1000, 'x'), 10), std::string(10, 'x') + "…");
}

// Rule R3.
TEST(log, no_secret_of_a_query_is_shown) {
  const struct {
    const char* target;
    const char* shown;
  } rows[] = {
      {"/dream-machine/v1/generations", "/dream-machine/v1/generations"},
      {"/a?limit=5&offset=20", "/a?limit=5&offset=20"},
      {"/a?ids=1,2&token=abc", "/a?ids=1,2&token=…"},
      {"/a?key=abc", "/a?key=…"},
      {"/a?api_key=abc&limit=1&x", "/a?api_key=…&limit=1&x"},
      {"/a?=abc", "/a?=…"},
      {"/a?", "/a?"},
      {"/callbacks/id/secret", "/callbacks/…"},
      {"/x/callbacks/id/secret?limit=1", "/x/callbacks/…"},
  };
  const auto logged = [](std::string_view target) {
    std::string out;
    append_loggable_target(out, target);
    return out;
  };
  for (const auto& row : rows) EXPECT_EQ(logged(row.target), row.shown);
  EXPECT_LE(logged("/a?" + std::string(5'000, 'x')).size(), 210u);
}

}  // namespace
}  // namespace relay::http
