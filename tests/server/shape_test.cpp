// What the admin API takes, by the tables that describe it.

#include "server/admin/shape.hpp"

#include <gtest/gtest.h>

#include "server/admin/admin_route.hpp"
#include "server/admin/shapes.hpp"
#include "server/openapi.hpp"
#include "server/routes.hpp"

namespace relay {
namespace {

std::string problem_with(const shape& s, const char* body) {
  const auto ok = check(s, parse_lenient(body).value().as_object());
  return ok ? "" : ok.error().message.text;
}
std::string problem_in(const shape& s, std::string_view query) {
  const auto read = read_query(s, query);
  return read ? "" : read.error().message.text;
}

TEST(shapes_of_bodies, say_what_is_wrong_and_what_is_allowed) {
  const shape& s = shapes::new_account;
  EXPECT_EQ(problem_with(s, R"({"name":"a","weight":3,"limits":{"open":5,"batch":null},"models":["ray-*"]})"),
            "");
  const std::pair<const char*, const char*> table[] = {
      {R"({})", "name: it is missing"},
      {R"({"name":7})", "name: must be text"},
      {R"({"name":"a b"})", "name: must be 1 to 64 letters, digits or any of . _ - @"},
      {R"({"name":"a","weight":0})", "weight: must be a whole number from 1 to 1000"},
      {R"({"name":"a","weight":1.5})", "weight: must be a whole number from 1 to 1000"},
      {R"({"name":"a","prepaid":"yes"})", "prepaid: must be true or false"},
      {R"({"name":"a","actions":"video"})", "actions: must be a list of texts"},
      {R"({"name":"a","actions":[1]})", "actions: must be a list of texts"},
      {R"({"name":"a","limits":[]})", "limits: must be an object"},
      {R"({"name":"a","limits":{"open":-1}})", "limits.open: must be a whole number from 0 to 1000000000"},
      {R"({"name":"a","note":null})", "note: must be text"},
  };
  for (const auto& [body, expected] : table) EXPECT_EQ(problem_with(s, body), expected) << body;
  EXPECT_TRUE(problem_with(s, R"({"name":"a","colour":"red"})")
                  .starts_with("colour: not known here; there are name, "));
  EXPECT_TRUE(
      problem_with(s, R"({"name":"a","limits":{"close":1}})").starts_with("limits.close: not known here"));
}

TEST(shapes_of_queries, are_texts_of_their_kinds) {
  const shape& s = shapes::job_query;
  const auto read = read_query(s, "state=pending&limit=7&text=a%2Fb+c&&account=x");
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, (json::object{{"state", "pending"}, {"limit", 7}, {"text", "a/b c"}, {"account", "x"}}));
  EXPECT_EQ(problem_in(s, "limit=0"), "limit: must be a whole number from 1 to 1000");
  EXPECT_EQ(problem_in(s, "limit=ten"), "limit: must be a whole number");
  EXPECT_EQ(problem_in(s, "limit="), "limit: must be a whole number");
  EXPECT_EQ(problem_in(s, "cursor=x"), "cursor: must be the `next` of the page before");
  EXPECT_EQ(problem_in(s, "since=yesterday"),
            "since: must be a time such as 2026-11-29T08:00:00Z, or a day, in UTC");
  EXPECT_EQ(problem_in(s, "since=2026-11-29T08:00:00Z&until=2026-12-01"), "");
  EXPECT_EQ(problem_in(s, "text=%zz"), "text: it is not encoded as a query is, in UTF-8");
  EXPECT_EQ(problem_in(s, "text=%ff"), "text: it is not encoded as a query is, in UTF-8");
  EXPECT_EQ(problem_in(s, "account=a&account=b"), "account: it is there twice");
  EXPECT_TRUE(problem_in(s, "colour=red").starts_with("colour: not known here"));
}

// Each route is an operation of its own, and every reference leads somewhere.
void look_through(const json::value& v, const json::object& schemas) {
  if (v.is_array()) {
    for (const json::value& item : v.get_array()) look_through(item, schemas);
  } else if (v.is_object()) {
    for (const auto& [key, value] : v.get_object()) {
      if (key != "$ref") {
        look_through(value, schemas);
        continue;
      }
      const std::string_view name = view(value.as_string());
      const std::string_view last = name.substr(name.rfind('/') + 1);
      EXPECT_TRUE(schemas.contains(last)) << name;
    }
  }
}

TEST(openapi, has_each_route_once) {
  const json::object documents[] = {openapi_of_admin(), openapi_of_public(public_routes())};
  const std::size_t rows[] = {admin_route_table().size(), public_routes().rows.size()};
  for (std::size_t i = 0; i < std::size(documents); ++i) {
    std::set<std::string> operations;
    std::size_t count = 0;
    for (const auto& [path, methods] : documents[i].at("paths").as_object()) {
      for (const auto& [method, operation] : methods.as_object()) {
        ++count;
        operations.emplace(view(operation.at("operationId").as_string()));
        EXPECT_FALSE(operation.at("summary").as_string().empty()) << path << " " << method;
      }
    }
    EXPECT_EQ(count, rows[i]);
    EXPECT_EQ(operations.size(), rows[i]) << "an operationId stands for two";
    look_through(documents[i], documents[i].at("components").at("schemas").as_object());
  }
}

}  // namespace
}  // namespace relay
