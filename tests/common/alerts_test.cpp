// When an operator is told of a trouble, and in which words.

#include <gtest/gtest.h>

#include "common/base/base64.hpp"
#include "common/base/digest.hpp"
#include "common/base/json.hpp"
#include "common/engine/alert_formats.hpp"
#include "common/engine/alerts.hpp"

namespace relay {
namespace {

using std::chrono::seconds;

constexpr timestamp start{std::chrono::hours(480'000)};
const condition down{"upstream_down", "luma", "upstream luma cannot take jobs", milliseconds(60'000)};
const condition refused{"key_refused", "luma/b", "upstream luma/b refuses its key"};
const condition full{"disk_full", "", "the disk is full"};

std::string told(const std::vector<alert>& all) {
  std::string out;
  for (const alert& a : all)
    out += (a.state == alert::what::firing         ? "+"
            : a.state == alert::what::still_firing ? "="
                                                   : "-") +
           a.name + " ";
  return out;
}

struct alert_test : ::testing::Test {
  std::string at(int second, const std::vector<condition>& all) {
    return told(book.observe(all, start + seconds(second)));
  }
  alert_book book{{milliseconds(10'000), milliseconds(3'600'000), milliseconds(60'000)}};
};

TEST_F(alert_test, what_begins_together_is_one_message) {
  EXPECT_EQ(at(0, {refused}), "") << "others may join it";
  EXPECT_EQ(at(5, {refused, full}), "");
  EXPECT_EQ(at(10, {refused, full}), "+key_refused +disk_full ");
  EXPECT_EQ(at(20, {refused, full}), "") << "once";
}

TEST_F(alert_test, what_went_by_soon_is_not_told) {
  EXPECT_EQ(at(0, {down}), "");
  EXPECT_EQ(at(50, {down}), "");
  EXPECT_EQ(at(55, {}), "");
  EXPECT_EQ(at(60, {down}), "") << "it begins anew";
  EXPECT_EQ(at(120, {down}), "");
  EXPECT_EQ(at(130, {down}), "+upstream_down ");
}

TEST_F(alert_test, what_is_over_is_told_when_it_stays_so) {
  at(0, {refused});
  EXPECT_EQ(at(10, {refused}), "+key_refused ");
  EXPECT_EQ(at(40, {}), "");
  EXPECT_EQ(at(60, {refused}), "") << "it comes and goes: nothing new";
  EXPECT_EQ(at(100, {}), "");
  EXPECT_EQ(at(120, {}), "") << "a minute of calm, and others may join";
  const auto over = book.observe({}, start + seconds(130));
  EXPECT_EQ(told(over), "-key_refused ");
  EXPECT_EQ(over.front().since, start);
  EXPECT_EQ(over.front().until, start + seconds(60)) << "the last time it was seen";
  EXPECT_EQ(at(200, {}), "");
  EXPECT_EQ(at(300, {refused}), "");
  EXPECT_EQ(at(310, {refused}), "+key_refused ") << "another one";
}

TEST(alert_book, without_any_calm_what_holds_is_not_over) {
  alert_book book{{milliseconds(0), milliseconds(3'600'000), milliseconds(0)}};
  EXPECT_EQ(told(book.observe({refused}, start)), "+key_refused ");
  EXPECT_EQ(told(book.observe({refused}, start + seconds(2))), "");
  EXPECT_EQ(told(book.observe({}, start + seconds(4))), "-key_refused ");
}

TEST_F(alert_test, what_lasts_is_told_again_seldom) {
  at(0, {refused});
  EXPECT_EQ(at(10, {refused}), "+key_refused ");
  EXPECT_EQ(at(3'600, {refused}), "");
  EXPECT_EQ(at(3'610, {refused}), "=key_refused ");
  EXPECT_EQ(at(3'611, {refused}), "");
}

TEST_F(alert_test, the_same_trouble_of_two_subjects_is_two) {
  condition other = refused;
  other.subject = "luma/c";
  at(0, {refused, other});
  EXPECT_EQ(at(10, {refused, other}), "+key_refused +key_refused ");
  at(80, {other});
  EXPECT_EQ(at(90, {other}), "-key_refused ");
}

// ---- the words of each service

const std::vector<alert> two = {
    {alert::what::firing, "key_refused", "luma/b", "upstream luma/b refuses its key: \"no\"", start, never},
    {alert::what::resolved, "disk_full", "", "the disk was full", start, start + seconds(90)}};

json::object body_of(const char* format, const char* sign_with = "") {
  const alert_message m =
      find_alert_format(format)->make(two, "https://relay.example.com", secret(sign_with), start);
  return parse_lenient(m.body).value().as_object();
}
const std::string text =
    "luma-relay https://relay.example.com\n"
    "ALERT: upstream luma/b refuses its key: \"no\" (since 2024-10-04 00:00:00 UTC)\n"
    "RESOLVED: the disk was full (since 2024-10-04 00:00:00, until 2024-10-04 00:01:30 UTC)";

TEST(alert_formats, each_service_gets_its_own_shape) {
  EXPECT_EQ(body_of("slack"), (json::object{{"text", text}}));
  EXPECT_EQ(body_of("wecom"), (json::object{{"msgtype", "text"}, {"text", {{"content", text}}}}));
  EXPECT_EQ(body_of("feishu"), (json::object{{"msg_type", "text"}, {"content", {{"text", text}}}}));
  EXPECT_EQ(body_of("dingtalk"), (json::object{{"msgtype", "text"}, {"text", {{"content", text}}}}));
  const json::object generic = body_of("generic");
  EXPECT_EQ(generic.at("status"), "firing");
  EXPECT_EQ(generic.at("text"), json::string(text));
  ASSERT_EQ(generic.at("alerts").as_array().size(), 2u);
  EXPECT_EQ(generic.at("alerts").at(0), (json::object{{"name", "key_refused"},
                                                      {"subject", "luma/b"},
                                                      {"status", "firing"},
                                                      {"text", "upstream luma/b refuses its key: \"no\""},
                                                      {"since", "2024-10-04T00:00:00.000Z"},
                                                      {"until", nullptr}}));
  EXPECT_EQ(find_alert_format("pager"), nullptr);
}

TEST(alert_formats, signatures_are_those_that_each_service_checks) {
  const json::object feishu = body_of("feishu", "hush");
  EXPECT_EQ(feishu.at("timestamp"), "1728000000");
  // By openssl: printf "" | openssl dgst -sha256 -hmac "1728000000\nhush" -binary | base64
  const sha256_digest expected = hmac_sha256("1728000000\nhush", "");
  const std::string bytes(reinterpret_cast<const char*>(expected.data()), expected.size());
  EXPECT_EQ(feishu.at("sign"), json::string(to_base64(bytes)));
  const alert_message dingtalk = find_alert_format("dingtalk")->make(two, "x", secret("hush"), start);
  EXPECT_TRUE(dingtalk.query.starts_with("timestamp=1728000000000&sign=")) << dingtalk.query;
  EXPECT_EQ(dingtalk.query.find_first_of("+/", 30), std::string::npos) << "escaped";
  EXPECT_EQ(find_alert_format("dingtalk")->make(two, "x", secret(), start).query, "");
  EXPECT_EQ(body_of("generic", "hush").at("timestamp"), "1728000000");
}

TEST(alert_formats, a_refusal_with_status_200_is_seen) {
  const auto refusal = [](const char* format, const char* body) {
    return find_alert_format(format)->refusal(body);
  };
  EXPECT_EQ(refusal("wecom", R"({"errcode":0,"errmsg":"ok"})"), "");
  EXPECT_EQ(refusal("wecom", R"({"errcode":93000,"errmsg":"invalid webhook url"})"),
            "code 93000: invalid webhook url");
  EXPECT_EQ(refusal("feishu", R"({"code":19021,"msg":"sign match fail"})"), "code 19021: sign match fail");
  EXPECT_EQ(refusal("feishu", R"({"StatusCode":0,"code":0})"), "");
  EXPECT_EQ(refusal("dingtalk", "no JSON"), "");
  EXPECT_EQ(refusal("generic", R"({"errcode":1})"), "");
}

TEST(alert_formats, wecom_takes_two_kilobytes) {
  std::vector<alert> many(100, two.front());
  const alert_message m = find_alert_format("wecom")->make(many, "x", secret(), start);
  const json::object body = parse_lenient(m.body).value().as_object();
  EXPECT_LE(body.at("text").at("content").as_string().size(), 2'048u);
}

}  // namespace
}  // namespace relay
