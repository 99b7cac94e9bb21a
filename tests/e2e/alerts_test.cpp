// Troubles are told to the address of [alerts].

#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/receiver.hpp"
#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

config settings_for(const temp_dir& dir, const running_simulator& sim, const receiver& hook,
                    const char* format) {
  config c = test_config(dir, sim.url());
  c.alerts.url = secret(hook.url("/robot/send?access_token=hush"));
  c.alerts.format = format;
  c.alerts.group = milliseconds(0);
  c.alerts.calm = milliseconds(0);
  return c;
}

bool says(const std::vector<receiver::message>& all, const std::string& text) {
  return std::ranges::any_of(all, [&text](const receiver::message& m) { return m.body.contains(text); });
}

TEST(alerts, a_refused_key_is_told_without_it) {
  temp_dir dir;
  running_simulator sim;
  receiver hook;
  running_relay relay(settings_for(dir, sim, hook, "generic"));
  const client c = relay.as("me");
  sim.refuse_key("luma-sim-key", 401);
  for (int i = 0; i < 3; ++i) c.post(generations, R"({"prompt":"abc"})");
  const auto told = hook.wait_until([](const auto& all) { return says(all, "key_refused"); });
  const json::object first = told.front().json();
  EXPECT_EQ(first.at("status"), "firing");
  EXPECT_EQ(first.at("alerts").at(0).at("subject"), "sim");
  EXPECT_FALSE(says(told, "luma-sim-key")) << "no secret is told";
}

TEST(alerts, what_is_over_is_told_too) {
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate(sim.port());
  receiver hook;
  config settings = settings_for(dir, sim, hook, "feishu");
  settings.upstreams[0].url = gate.url();
  settings.upstreams[0].base = *parse_base_url(gate.url());
  settings.submit.deadline = milliseconds(120'000);
  settings.alerts.pending = milliseconds(1'000);
  gate.refuse_new();
  running_relay relay(settings);
  const client c = relay.as("me");
  c.post(generations, R"({"prompt":"abc"})");
  hook.wait_until([](const auto& all) { return says(all, "ALERT: a job has waited"); });
  gate.let_through();
  const auto told = hook.wait_until([](const auto& all) { return says(all, "RESOLVED: a job has waited"); });
  EXPECT_EQ(told.front().json().at("msg_type"), "text");
}

TEST(alerts, a_service_that_refuses_is_asked_again_and_in_its_order) {
  temp_dir dir;
  running_simulator sim;
  std::atomic<int> refusals = 1;
  receiver hook([&refusals](const receiver::message&) { return refusals-- > 0 ? 500 : 200; });
  config settings = settings_for(dir, sim, hook, "dingtalk");
  settings.alerts.sign_with = secret("SEC-hush");
  running_relay relay(settings);
  const client c = relay.as("me");
  sim.refuse_key("luma-sim-key", 402);
  for (int i = 0; i < 3; ++i) c.post(generations, R"({"prompt":"abc"})");
  const auto told = hook.wait_for(2);
  EXPECT_EQ(told.at(0).body, told.at(1).body);
  EXPECT_TRUE(told.at(0).path.starts_with("/robot/send")) << told.at(0).path;
  EXPECT_TRUE(says(told, "is out of credits"));
}

}  // namespace
}  // namespace relay::test
