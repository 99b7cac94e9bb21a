// One customer's burst is nobody else's trouble (rule T1), and a backlog drains (T3).

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "common/families.hpp"
#include "tests/support/inbox.hpp"
#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

std::string create(const client& c, const std::string& prompt, const std::string& more = {}) {
  const response r = c.post(generations, R"({"prompt":")" + prompt + "\"" + more + "}");
  EXPECT_EQ(r.status, 201) << r.body;
  return std::string(text_of(r.json().as_object(), "id"));
}

std::vector<std::string> prompts(const running_simulator& sim) {
  std::vector<std::string> out;
  for (const json::value& entry : sim.log().at("creates").as_array()) {
    out.emplace_back(text_of(entry.at("body").as_object(), "prompt"));
  }
  return out;
}

std::int64_t place_of(const std::vector<std::string>& all, const std::string& prompt) {
  return std::ranges::find(all, prompt) - all.begin();
}

// A gauge of the tasks in a state.
std::int64_t count_of(const running_relay& relay, const std::string& state) {
  const std::string text = client(relay.admin_port()).get("/metrics").body;
  const std::string name = "luma_relay_tasks{state=\"" + state + "\"} ";
  const auto at = text.find(name);
  return at == std::string::npos ? -1 : std::stoll(text.substr(at + name.size()));
}

// What was done, and is answered with 200.
json::object carried_out(running_relay& relay, const std::string& path, const json::object& body = {}) {
  const response r = relay.admin("POST", path, body);
  EXPECT_EQ(r.status, 200) << path << ": " << r.body;
  return r.json().as_object();
}

struct fairness : ::testing::Test {
  fairness() {
    settings = test_config(dir, gate.url());
    settings.submit.deadline = milliseconds(120'000);
  }
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate{sim.port()};
  config settings;
};

TEST_F(fairness, another_customers_job_goes_out_next) {
  settings.upstreams[0].max_connections = 1;  // one after the other, so that there is an order
  gate.refuse_new();
  running_relay relay(settings);
  const client many = relay.as("many");
  const client other = relay.as("other");
  for (int i = 0; i < 2'000; ++i) create(many, "many " + std::to_string(i));
  const std::string id = create(other, "other");
  gate.let_through();
  wait_for_state(other, generations + "/" + id, "completed");
  const auto went = prompts(sim);
  EXPECT_LE(place_of(went, "other"), 2) << "of " << went.size();
}

// So many accounts, each with one token; the header that it sends.
std::vector<std::string> make_accounts(const config& settings, int how_many) {
  inbox in;
  store_hooks hooks;
  hooks.post = [&in](std::move_only_function<void()> f) { in.post(std::move(f)); };
  auto opened = open_test_store(settings.storage.path, families(), std::move(hooks));
  EXPECT_TRUE(opened) << opened.error().log.text;
  std::vector<std::string> out;
  int done = 0;
  for (int i = 0; i < how_many; ++i) {
    account a;
    a.name = "account-" + std::to_string(i);
    if (i == 0) a.limits.open = 500;  // one that is just being sent does not wait, and is open
    token t;
    t.account = i + 1;
    t.name = "only";
    out.push_back("luma-relay-of-" + std::to_string(i));
    t.digest = sha256(out.back());
    out.back().insert(0, "Bearer ");
    (*opened)->write_account(a, nullptr, [&done](result<account> r) { done += r.has_value(); });
    (*opened)->insert_token(t, nullptr, [&done](result<token> r) { done += r.has_value(); });
  }
  while (done < 2 * how_many) in.run_one();
  (*opened)->close();
  return out;
}

// One of a thousand floods: the others' jobs go out within one round of all, and its limit holds to the job.
TEST_F(fairness, a_thousand_accounts_wait_for_one_round) {
  constexpr int accounts = 1'000, flood = 700, its_limit = 500;
  settings.upstreams[0].max_connections = 1;  // one after the other, so that there is an order
  settings.submit.deadline = milliseconds(600'000);
  const std::vector<std::string> keys = make_accounts(settings, accounts);
  gate.refuse_new();
  running_relay relay(settings);
  std::atomic<int> taken = 0, refused = 0;
  {
    std::vector<std::jthread> senders;
    for (int s = 0; s < 4; ++s) {
      senders.emplace_back([&] {
        const client flooding(relay.port(), keys[0]);
        for (int i = 0; i < flood / 4; ++i) {
          const int status = flooding.post(generations, R"({"prompt":"flood"})").status;
          ++(status == 201 ? taken : refused);
          EXPECT_TRUE(status == 201 || status == 429) << status;
        }
      });
    }
  }
  EXPECT_EQ(taken, its_limit);
  EXPECT_EQ(refused, flood - its_limit);
  for (int i = 1; i < accounts; ++i) create(client(relay.port(), keys[static_cast<std::size_t>(i)]), "other");
  gate.let_through();
  // Counted where they arrive: one that does not wait any more may still be on its way.
  ASSERT_TRUE(relay.wait_until([&] { return sim.created() > accounts; }, std::chrono::seconds(120)));
  const auto went = prompts(sim);
  const auto first_round = went.begin() + accounts + 1;
  EXPECT_GE(std::count(went.begin(), first_round, "other"), accounts - 2)
      << "of the flood went " << std::count(went.begin(), first_round, "flood");
}

// While the burst is under way as well: what comes first does not hold every slot.
TEST_F(fairness, a_burst_does_not_hold_up_a_stream_of_others) {
  settings.upstreams[0].max_concurrent = 4;
  running_relay relay(settings);
  const client many = relay.as("many");
  const client other = relay.as("other");
  for (int i = 0; i < 400; ++i) create(many, "many");
  for (int i = 0; i < 5; ++i) wait_for_state(other, generations + "/" + create(other, "other"), "completed");
  EXPECT_GT(count_of(relay, "pending"), 0) << "the burst was still waiting";
}

// Pages and limits of every size: somebody always wakes the dispatcher.
TEST_F(fairness, a_backlog_drains) {
  settings.upstreams[0].max_concurrent = 64;
  gate.refuse_new();
  running_relay relay(settings);
  const client c = relay.as("me");
  for (int i = 0; i < 1'280; ++i) create(c, "job");
  gate.let_through();
  EXPECT_TRUE(
      relay.wait_until([&] { return count_of(relay, "completed") == 1'280; }, std::chrono::seconds(60)))
      << count_of(relay, "pending") << " wait";
  EXPECT_EQ(sim.created(), 1'280);
}

// After a start everything that waits is on disk only.
TEST_F(fairness, a_backlog_drains_after_a_start_and_in_turn) {
  settings.upstreams[0].max_connections = 1;
  gate.refuse_new();
  std::string token;
  {
    config one_attempt = settings;  // more of them would cost its place in the queue
    one_attempt.submit.retry = one_attempt.submit.retry_max = milliseconds(60'000);
    running_relay relay(one_attempt);
    const client many = relay.as("many");
    for (int i = 0; i < 600; ++i) create(many, "many " + std::to_string(i));
    token = relay.token("other");
    create(client(relay.port(), token), "other");
  }
  gate.let_through();
  running_relay relay(settings);
  EXPECT_TRUE(
      relay.wait_until([&] { return count_of(relay, "completed") == 601; }, std::chrono::seconds(60)));
  auto went = prompts(sim);
  EXPECT_LE(place_of(went, "other"), 3);
  std::erase(went, "other");
  for (int i = 0; i < 600; ++i) ASSERT_EQ(went[static_cast<std::size_t>(i)], "many " + std::to_string(i));
}

TEST_F(fairness, jobs_for_a_dead_upstream_delay_none_for_another) {
  running_simulator second_sim;
  upstream_config second = settings.upstreams[0];
  second.name = "second";
  second.base = *parse_base_url(second_sim.url());
  settings.upstreams.push_back(second);
  running_relay relay(settings);
  const client pins = relay.as("pins");
  const client other = relay.as("other");
  const std::string base = create(pins, "base");
  wait_for_state(pins, generations + "/" + base, "completed");
  ASSERT_EQ(sim.created(), 1) << "the first upstream has it";
  gate.refuse_new();
  gate.cut_all();
  for (int i = 0; i < 1'100; ++i)
    create(pins, "extended", R"(,"keyframes":{"frame0":{"type":"generation","id":")" + base + R"("}})");
  wait_for_state(other, generations + "/" + create(other, "elsewhere"), "completed");
  wait_for_state(pins, generations + "/" + create(pins, "mine, elsewhere"), "completed");
  EXPECT_EQ(second_sim.created(), 2);
  // One of them may just be tried there; it comes back.
  EXPECT_TRUE(relay.wait_until([&] { return count_of(relay, "pending") == 1'100; }))
      << count_of(relay, "pending");
}

// Whatever the upstreams do, and however many they are.
TEST_F(fairness, what_waits_too_long_fails_on_time) {
  settings.submit.deadline = milliseconds(3'000);
  settings.server.submit_wait = milliseconds(0);
  settings.upstreams[0].max_concurrent = 1;
  gate.hold();  // the first submission does not end; nothing happens to the others
  running_relay relay(settings);
  const client c = relay.as("me");
  std::string last;
  for (int i = 0; i < 1'201; ++i) last = create(c, "job");
  EXPECT_TRUE(relay.wait_until([&] { return count_of(relay, "failed") == 1'200; }));
  const json::object t = c.get(generations + "/" + last).json().as_object();
  EXPECT_NE(text_of(t, "failure_reason").find("No upstream could take the job"), std::string::npos);
  EXPECT_EQ(sim.created(), 0);
  gate.cut_all();
}

// An upstream that may be asked seldom is asked about everybody's jobs in turn.
TEST_F(fairness, polls_take_turns_too) {
  settings.upstreams[0].polls_per_second = 50;
  running_relay relay(settings);
  const client many = relay.as("many");
  for (int i = 0; i < 300; ++i) create(many, "many");
  const client other = relay.as("other");
  wait_for_state(other, generations + "/" + create(other, "other"), "completed");
  EXPECT_LT(count_of(relay, "completed"), 100) << "the others are asked about as well";
}

// ---- limits of a token

TEST_F(fairness, a_token_has_the_limits_that_the_operator_sets) {
  settings.limits.pending_per_account = 3;
  settings.limits.open_per_account = 5;
  settings.upstreams[0].max_concurrent = 2;
  settings.poll.interval = milliseconds(3'600'000);  // nothing ends by itself
  running_relay relay(settings);
  const client me = relay.as("me");
  const client other = relay.as("other");
  for (int i = 0; i < 5; ++i) create(me, "job");
  const response full = me.post(generations, R"({"prompt":"one more"})");
  EXPECT_EQ(full.status, 429) << full.body;
  EXPECT_NE(full.body.find("limit of 5 open generations"), std::string::npos) << full.body;
  EXPECT_EQ(full.header("retry-after"), "5");
  for (int i = 0; i < 3; ++i) create(other, "job");
  const response waits = other.post(generations, R"({"prompt":"one more"})");
  EXPECT_EQ(waits.status, 429) << waits.body;
  EXPECT_NE(waits.body.find("limit of 3 generations that wait"), std::string::npos) << waits.body;
  EXPECT_EQ(carried_out(relay, "/cancellations", {{"token", "other"}}).at("cancelled"), 3);
  create(other, "now there is room");
  EXPECT_EQ(me.post(generations, R"({"prompt":"still none"})").status, 429) << "each has its own";
}

TEST_F(fairness, creates_of_a_minute_are_counted_by_token) {
  settings.limits.creates_per_minute_per_account = 4;
  running_relay relay(settings);
  const client me = relay.as("me");
  for (int i = 0; i < 4; ++i) create(me, "job");
  const response refused = me.post(generations, R"({"prompt":"one more"})");
  EXPECT_EQ(refused.status, 429) << refused.body;
  EXPECT_GT(std::stoi(refused.header("retry-after")), 50);
  EXPECT_LE(std::stoi(refused.header("retry-after")), 60);
  create(relay.as("other"), "job");
  EXPECT_EQ(me.post(generations, "[]").status, 422) << "what is wrong is told first, and counts for nothing";
}

// ---- the end of a token

TEST_F(fairness, revoking_stops_what_was_not_submitted) {
  gate.refuse_new();
  running_relay relay(settings);
  const client me = relay.as("me");
  const client kept = relay.as("kept");
  const client other = relay.as("other");
  for (int i = 0; i < 300; ++i) create(me, "mine");
  for (int i = 0; i < 3; ++i) create(kept, "kept");
  create(other, "other");
  const json::object gone = carried_out(relay, "/tokens/*/me/revoke");
  EXPECT_EQ(gone.at("cancelled").as_int64() + gone.at("submitting").as_int64(), 300);
  EXPECT_EQ(me.get(generations).status, 401);
  EXPECT_EQ(carried_out(relay, "/tokens/*/kept/revoke", {{"keep_pending", true}}).at("cancelled"), 0);
  EXPECT_EQ(kept.get(generations).status, 401);
  gate.let_through();
  EXPECT_TRUE(
      relay.wait_until([&] { return count_of(relay, "pending") == 0 && count_of(relay, "completed") >= 4; }));
  const auto went = prompts(sim);
  EXPECT_EQ(std::ranges::count(went, "kept"), 3);
  EXPECT_EQ(std::ranges::count(went, "other"), 1);
  EXPECT_EQ(std::ranges::count(went, "mine"), 0);
}

// Rule T4: one that is being submitted while its token is revoked does not go out again.
TEST_F(fairness, revoking_ends_what_is_refused_meanwhile) {
  gate.hold();
  running_relay relay(settings);
  const client me = relay.as("me");
  const response r = me.request("POST", generations, R"({"prompt":"#refuse-429"})", {"Prefer: wait=0"});
  ASSERT_EQ(r.status, 201) << r.body;
  const json::object gone = carried_out(relay, "/tokens/*/me/revoke");
  EXPECT_EQ(gone.at("cancelled"), 0) << gone;
  EXPECT_EQ(gone.at("submitting"), 1) << gone;
  gate.let_through();
  EXPECT_TRUE(relay.wait_until([&] { return count_of(relay, "failed") == 1; }));
  EXPECT_LE(prompts(sim).size(), 1u);
}

TEST_F(fairness, a_rotated_token_is_the_same_customer) {
  running_relay relay(settings);
  const std::string first = relay.token("me");
  const client before(relay.port(), first);
  const std::string id = create(before, "job");
  wait_for_state(before, generations + "/" + id, "completed");
  const json::value secret_before = relay.admin("GET", "/accounts/me/webhook-secret").json();
  const auto rotate = [&](int grace) {
    return std::string(text_of(carried_out(relay, "/tokens/*/me/rotate", {{"grace_s", grace}}), "token"));
  };
  const std::string second = rotate(3'600);
  EXPECT_EQ(before.get(generations + "/" + id).status, 200) << "within the grace";
  EXPECT_EQ(client(relay.port(), second).get(generations + "/" + id).status, 200);
  EXPECT_EQ(relay.admin("GET", "/accounts/me/webhook-secret").json(), secret_before);
  // Without a grace the old one ends at once, and the one before it with it.
  const std::string third = rotate(0);
  EXPECT_EQ(before.get(generations).status, 401);
  EXPECT_EQ(client(relay.port(), second).get(generations).status, 401);
  EXPECT_EQ(client(relay.port(), third).get(generations + "/" + id).status, 200);
  // As it was after a start.
  const std::string fourth = rotate(3'600);
  relay.stop();
  running_relay again(settings);
  EXPECT_EQ(client(again.port(), first).get(generations).status, 401);
  EXPECT_EQ(client(again.port(), third).get(generations).status, 200);
  EXPECT_EQ(client(again.port(), fourth).get(generations + "/" + id).status, 200);
  EXPECT_EQ(again.admin("POST", "/tokens/*/nobody/rotate").status, 404);
}

}  // namespace
}  // namespace relay::test
