// What a client's callback URL receives.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "tests/support/name_server.hpp"
#include "tests/support/receiver.hpp"
#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

std::string create(const client& c, const std::string& callback, const std::string& path = generations,
                   const char* prompt_name = "prompt", const char* hook_name = "callback_url") {
  const response r = c.post(path, R"({")" + std::string(prompt_name) + R"(":"A tiger walking in snow",")" +
                                      hook_name + R"(":")" + callback + R"("})");
  EXPECT_EQ(r.status, 201) << r.body;
  return std::string(text_of(r.json().as_object(), "id"));
}

// What the operator sees of the callbacks of a job.
json::object callback_of(running_relay& relay, const std::string& id) {
  const response r = relay.admin("GET", "/jobs/" + id);
  EXPECT_EQ(r.status, 200) << r.body;
  return r.json().at("callback").as_object();
}

std::vector<std::string> states(const std::vector<receiver::message>& all) {
  std::vector<std::string> out;
  for (const auto& m : all) out.push_back(m.state());
  return out;
}

TEST(callbacks, tell_the_client_in_its_own_dialect) {
  temp_dir dir;
  running_simulator sim;
  receiver hook;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");

  const std::string id = create(c, hook.url("/official?x=1"));
  auto got = hook.wait_for(2);
  EXPECT_EQ(states(got), (std::vector<std::string>{"dreaming", "completed"}));
  EXPECT_EQ(got[0].path, "/official?x=1");
  EXPECT_EQ(got[0].json().at("id"), json::string(id));
  EXPECT_EQ(parse_lenient(got[1].body).value(), c.get(generations + "/" + id).json()) << "the same as a GET";
  EXPECT_EQ(got[0].id(), "msg_" + id + "_1");
  EXPECT_EQ(got[1].id(), "msg_" + id + "_2");

  const std::string app = create(c, hook.url("/app"), "/luma/generations", "user_prompt", "notify_hook");
  got = hook.wait_for(4);
  EXPECT_EQ(got[2].state(), "processing");
  EXPECT_EQ(got[3].state(), "completed");
  EXPECT_EQ(parse_lenient(got[3].body).value(), c.get("/luma/generations/" + app).json());

  c.post(generations, R"({"prompt":"#moderated","callback_url":")" + hook.url("/failed") + R"("})");
  got = hook.wait_until([](const auto& all) { return !all.empty() && all.back().state() == "failed"; });
  EXPECT_EQ(text_of(got.back().json(), "failure_reason"), "Advanced prompt moderation failed");
}

TEST(callbacks, are_signed_with_the_tokens_secret) {
  temp_dir dir;
  running_simulator sim;
  receiver hook;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  create(c, hook.url());
  const std::string of_me = "/accounts/me/webhook-secret";
  const std::string text(text_of(relay.admin("GET", of_me).json().as_object(), "secret"));
  ASSERT_TRUE(text.starts_with("whsec_"));
  for (const receiver::message& m : hook.wait_for(2)) {
    const std::int64_t seconds = std::stoll(m.headers.at("webhook-timestamp"));
    EXPECT_LE(std::abs(std::time(nullptr) - seconds), 60);
    EXPECT_TRUE(m.headers.at("webhook-signature").starts_with("v1,"));
  }
  const response rotated = relay.admin("POST", of_me + "/rotate");
  EXPECT_EQ(rotated.status, 200) << rotated.body;
  EXPECT_NE(text_of(rotated.json().as_object(), "secret"), text);
  EXPECT_EQ(relay.admin("GET", "/accounts/nobody/webhook-secret").status, 404);
}

TEST(callbacks, are_sent_again_with_the_same_id) {
  temp_dir dir;
  running_simulator sim;
  std::atomic<int> refusals = 5;
  receiver hook([&](const receiver::message& m) {
    if (m.state() != "completed") return 200;
    return refusals-- > 0 ? (refusals % 2 == 0 ? 500 : 0) : 204;
  });
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string id = create(c, hook.url());
  const auto got = hook.wait_for(7);
  EXPECT_EQ(got[0].state(), "dreaming");
  for (std::size_t i = 1; i < 7; ++i) {
    EXPECT_EQ(got[i].state(), "completed");
    EXPECT_EQ(got[i].id(), "msg_" + id + "_2");
    EXPECT_EQ(got[i].body, got[1].body);
  }
}

TEST(callbacks, the_end_does_not_wait_for_a_client_that_refuses_the_beginning) {
  temp_dir dir;
  running_simulator sim;
  receiver hook([](const receiver::message& m) { return m.state() == "completed" ? 200 : 400; });
  config settings = test_config(dir, sim.url());
  settings.callbacks.retry_after = {milliseconds(3'600'000)};
  running_relay relay(settings);
  create(relay.as("me"), hook.url());
  EXPECT_EQ(hook.wait_for(2).back().state(), "completed");
}

TEST(callbacks, gone_is_gone) {
  temp_dir dir;
  running_simulator sim;
  receiver hook([](const receiver::message& m) { return m.path == "/gone" ? 410 : 200; });
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string id = create(c, hook.url("/gone"));
  wait_for_state(c, generations + "/" + id, "completed");
  create(c, hook.url("/other"));
  const auto got = hook.wait_for(3);
  int gone = 0;
  for (const auto& m : got) gone += m.path == "/gone";
  EXPECT_EQ(gone, 1);
  const json::object shown = callback_of(relay, id);
  EXPECT_EQ(shown.at("stopped"), true);
  EXPECT_EQ(shown.at("last_problem"), "status 410");
}

TEST(callbacks, a_dead_host_delays_nobody) {
  temp_dir dir;
  running_simulator sim;
  receiver dead([](const receiver::message&) { return -1; });
  receiver alive;
  config settings = test_config(dir, sim.url());
  settings.callbacks.concurrency = 16;
  settings.callbacks.per_host = 4;
  settings.callbacks.timeout = milliseconds(60'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  for (int i = 0; i < 30; ++i) create(c, dead.url());
  dead.wait_for(4);
  const std::string id = create(c, alive.url());
  EXPECT_EQ(states(alive.wait_for(2)), (std::vector<std::string>{"dreaming", "completed"}));
  EXPECT_EQ(dead.received().size(), 4u) << "no more than its share";
  relay.stop();
}

// Fairness of the deliverer: a client with more pending callbacks than one read of what is due holds half of
// the slots, and the callbacks of another client, which are due after all of them, go out.
TEST(callbacks, one_client_does_not_take_every_slot) {
  temp_dir dir;
  running_simulator sim;
  receiver hangs([](const receiver::message&) { return -1; });
  receiver alive;
  config settings = test_config(dir, sim.url());
  settings.callbacks.concurrency = 16;
  settings.callbacks.per_host = 16;
  settings.callbacks.timeout = milliseconds(60'000);
  running_relay relay(settings);
  const client many = relay.as("many");
  for (int i = 0; i < 280; ++i) create(many, hangs.url());
  hangs.wait_for(8);
  create(relay.as("one"), alive.url());
  EXPECT_EQ(states(alive.wait_for(2)), (std::vector<std::string>{"dreaming", "completed"}));
  EXPECT_EQ(hangs.received().size(), 8u) << "half of the slots";
  relay.stop();
}

class callbacks_of_many : public ::testing::TestWithParam<int> {};

// Two customers with backlogs: the one callback of a third goes out next, and theirs all go out.
TEST_P(callbacks_of_many, take_turns) {
  temp_dir dir;
  running_simulator sim;
  receiver hook;
  tcp_gate gate(hook.port());
  gate.hold();
  config settings = test_config(dir, sim.url());
  settings.callbacks.concurrency = 4;
  settings.callbacks.per_host = GetParam();
  settings.callbacks.timeout = milliseconds(60'000);
  running_relay relay(settings);
  const auto finish = [&](const client& c, const std::string& path) {
    wait_for_state(c, generations + "/" + create(c, gate.url() + path), "completed");
  };
  for (const char* name : {"many", "another"}) {
    const client c = relay.as(name);
    for (int i = 0; i < 40; ++i) finish(c, "/backlog");
  }
  finish(relay.as("one"), "/one");
  gate.let_through();
  const auto got = hook.wait_until(
      [](const auto& all) { return std::ranges::count(all, "completed", &receiver::message::state) == 81; });
  EXPECT_LE(std::ranges::find(got, "/one", &receiver::message::path) - got.begin(), 12)
      << "not behind the others' backlogs";
}

// Those that wait for a slot of their customer's, and those that wait for one of their host's.
INSTANTIATE_TEST_SUITE_P(per_host, callbacks_of_many, ::testing::Values(8, 1));

TEST(callbacks, are_pending_across_a_restart) {
  temp_dir dir;
  running_simulator sim;
  std::atomic<bool> up = false;
  receiver hook([&](const receiver::message&) { return up ? 200 : 503; });
  config settings = test_config(dir, sim.url());
  std::string token, id;
  {
    running_relay relay(settings);
    token = relay.token("me");
    const client c(relay.port(), token);
    id = create(c, hook.url());
    wait_for_state(c, generations + "/" + id, "completed");
  }
  up = true;
  const std::size_t before = hook.received().size();
  running_relay relay(settings);
  EXPECT_EQ(hook.wait_for(before + 1).back().state(), "completed");
}

TEST(callbacks, an_operator_can_have_one_sent_again) {
  temp_dir dir;
  running_simulator sim;
  receiver hook;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string id = create(c, hook.url());
  hook.wait_for(2);
  // The delivery may have been answered and not recorded yet: then it is still pending, and this changes
  // nothing.
  const auto nothing_pending = [&] { return text_of(callback_of(relay, id), "pending").empty(); };
  ASSERT_TRUE(relay.wait_until(nothing_pending));
  EXPECT_EQ(relay.admin("POST", "/callbacks/" + id + "/retry").status, 200);
  const auto got = hook.wait_for(3);
  EXPECT_EQ(got[2].state(), "completed");
  EXPECT_NE(got[2].id(), got[1].id());
  const std::string without(text_of(c.post(generations, R"({"prompt":"abc"})").json().as_object(), "id"));
  EXPECT_EQ(relay.admin("POST", "/callbacks/" + without + "/retry").status, 409);
}

// Rule S4.
TEST(callbacks, never_reach_into_the_private_network) {
  temp_dir dir;
  running_simulator sim;
  receiver hook;
  config settings = test_config(dir, sim.url());
  settings.callbacks.allow_private_addresses = false;
  const name_server names([](const std::string& name, int) {
    return name == "inside.test" ? std::vector<std::string>{"127.0.0.1"} : std::vector<std::string>{};
  });
  settings.dns.servers = {names.at()};
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string port = std::to_string(hook.port());
  for (const std::string& host : {"127.0.0.1", "localhost", "0.0.0.0", "127.1", "0x7f000001", "2130706433",
                                  "[::1]", "[::ffff:127.0.0.1]", "[::]", "inside.test"}) {
    const std::string id = create(c, "http://" + host + ":" + port + "/hook");
    wait_for_state(c, generations + "/" + id, "completed");
    std::string problem;
    ASSERT_TRUE(relay.wait_until([&] {
      problem = text_of(callback_of(relay, id), "last_problem");
      return !problem.empty();
    }));
    EXPECT_TRUE(problem.find("no public address") != std::string::npos ||
                problem.find("cannot be resolved") != std::string::npos)
        << host << ": " << problem;
  }
  EXPECT_TRUE(hook.received().empty());
}

// Rule S4: the address that was checked is the one that is called, whatever the name servers say next.
TEST(callbacks, follow_no_redirect) {
  temp_dir dir;
  running_simulator sim;
  std::atomic<int> redirects = 0;
  receiver hook([&redirects](const receiver::message& m) {
    constexpr int statuses[] = {301, 302, 303, 307, 308};
    if (m.state() != "completed") return 200;
    const int n = redirects++;
    return n < 5 ? statuses[n] : 200;
  });
  running_relay relay(test_config(dir, sim.url()));
  create(relay.as("me"), hook.url());
  // A redirect is a failure like any other: the same address is tried again.
  for (const receiver::message& m : hook.wait_for(7)) EXPECT_EQ(m.path, "/hook");
}

TEST(callbacks, go_to_the_address_that_was_checked) {
  temp_dir dir;
  running_simulator sim(running_simulator::stepping());
  receiver hook;
  // Nothing listens on the second address.
  const name_server names(
      [](const std::string&, int n) { return std::vector<std::string>{n == 1 ? "127.0.0.1" : "127.0.0.2"}; });
  config settings = test_config(dir, sim.url());
  settings.dns.servers = {names.at()};
  running_relay relay(settings);
  const client c = relay.as("me");
  create(c, "http://hook.test:" + std::to_string(hook.port()) + "/hook");
  EXPECT_EQ(hook.wait_for(2).back().state(), "completed");
  EXPECT_EQ(names.asked("hook.test"), 1);
}

// A job belongs to the trace of its create, also after a restart; what is no trace context is not passed on.
TEST(traces, go_upstream_and_into_callbacks) {
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate(sim.port());
  receiver hook;
  config settings = test_config(dir, gate.url());
  settings.callbacks.allow_private_addresses = true;
  settings.submit.deadline = milliseconds(120'000);
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const auto create = [&](const client& c, const std::string& prompt, const std::string& header) {
    const std::string body =
        R"({"prompt":")" + prompt + R"(","callback_url":")" + hook.url("/" + prompt) + R"("})";
    const response r = c.request("POST", "/dream-machine/v1/generations", body, {"traceparent: " + header});
    EXPECT_EQ(r.status, 201) << r.body;
  };
  gate.refuse_new();
  {
    running_relay relay(settings);
    const client c = relay.as("me");
    create(c, "traced", trace);
    create(c, "odd", "00-" + trace);
  }
  gate.let_through();
  running_relay relay(settings);
  const auto told = hook.wait_until([](const std::vector<receiver::message>& all) {
    const auto ended = [&all](const char* path) {
      return std::ranges::any_of(
          all, [path](const receiver::message& m) { return m.path == path && m.state() == "completed"; });
    };
    return ended("/traced") && ended("/odd");
  });
  for (const receiver::message& m : told) {
    const auto header = m.headers.find("traceparent");
    EXPECT_EQ(header == m.headers.end() ? "" : header->second, m.path == "/traced" ? trace : "") << m.path;
  }
  for (const json::value& made : sim.log().at("creates").as_array()) {
    const bool is_traced = text_of(made.at("body").as_object(), "prompt") == "traced";
    EXPECT_EQ(text_of(made.as_object(), "traceparent"), is_traced ? trace : "");
  }
}

}  // namespace
}  // namespace relay::test
