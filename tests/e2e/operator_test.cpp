// What an operator does at 3 a.m.: find a job and see why, pause an upstream that is sick, stop a runaway.

#include <gtest/gtest.h>

#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

struct operator_test : ::testing::Test {
  static json::object job(running_relay& relay, const std::string& by) {
    return done(relay, "GET", "/jobs/" + by);
  }
  static std::string why(running_relay& relay, const std::string& by) {
    return std::string(text_of(job(relay, by), "why"));
  }
  static std::string create(const client& c, const std::string& prompt = "abc") {
    const response r = c.post(generations, R"({"prompt":")" + prompt + "\"}");
    EXPECT_EQ(r.status, 201) << r.body;
    return std::string(text_of(r.json().as_object(), "id"));
  }

  temp_dir dir;
  running_simulator sim;
};

TEST_F(operator_test, a_failed_job_is_found_by_any_of_its_ids_and_explained) {
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string id = create(c, "#fail");
  wait_for_state(c, generations + "/" + id, "failed");
  const json::object whole = job(relay, id);
  EXPECT_TRUE(text_of(whole, "why").starts_with("failed at ")) << whole;
  EXPECT_EQ(text_of(whole, "fail_reason"), "Job failed");
  const std::string upstreams(text_of(whole, "upstream_id"));
  EXPECT_EQ(text_of(job(relay, upstreams), "id"), id) << "by the id that the upstream's support asks for";
  EXPECT_EQ(text_of(job(relay, id.substr(0, 20)), "id"), id) << "by the beginning";
  EXPECT_EQ(json::serialize(whole).find("callbacks/"), std::string::npos) << "no secret is shown";
  // What means several, or none, says so.
  create(c);
  const response several = relay.admin("GET", "/jobs/" + id.substr(0, 4));
  EXPECT_NE(detail_of(several).find("several tasks are meant"), std::string::npos) << several.body;
  const response none = relay.admin("GET", "/jobs/nobodys");
  EXPECT_EQ(none.status, 404);
  EXPECT_NE(detail_of(none).find("there is no task"), std::string::npos) << none.body;
}

TEST_F(operator_test, a_sick_upstream_is_paused_and_jobs_say_that_they_wait_for_it) {
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  done(relay, "POST", "/upstreams/sim/pause");
  const std::string id = create(c);
  EXPECT_TRUE(why(relay, id).starts_with("waiting: upstream sim is paused by an operator")) << why(relay, id);
  const json::object list = done(relay, "GET", "/jobs?state=pending");
  EXPECT_TRUE(text_of(list.at("items").at(0).as_object(), "why").starts_with("waiting: ")) << list;
  done(relay, "POST", "/upstreams/sim/resume");
  wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_TRUE(why(relay, id).starts_with("completed at ")) << why(relay, id);
}

TEST_F(operator_test, a_runaway_is_stopped_and_its_money_is_free_again) {
  tcp_gate gate(sim.port());
  config settings = test_config(dir, gate.url());
  settings.submit.deadline = milliseconds(120'000);
  price_config p;
  p.rule.price = {100'000};
  settings.prices = {p};
  gate.refuse_new();
  running_relay relay(settings);
  const client runaway = relay.as("runaway"), other = relay.as("other");
  done(relay, "PATCH", "/accounts/runaway", {{"prepaid", true}});
  done(relay, "POST", "/accounts/runaway/topup", {{"amount", "10"}});
  for (int i = 0; i < 50; ++i) create(runaway);
  const std::string kept = create(other);
  done(relay, "POST", "/accounts/runaway/disable");
  EXPECT_EQ(runaway.post(generations, R"({"prompt":"abc"})").status, 401);
  gate.let_through();
  wait_for_state(other, generations + "/" + kept, "completed");
  const auto held = [&] { return std::string(text_of(done(relay, "GET", "/accounts/runaway"), "held")); };
  EXPECT_TRUE(relay.wait_until([&] { return held() == "0.00"; })) << held();
  EXPECT_LE(sim.created(), 3) << "what was on its way, and the other's";
}

}  // namespace
}  // namespace relay::test
