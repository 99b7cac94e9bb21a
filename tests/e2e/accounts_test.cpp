// Accounts are customers: jobs belong to them, and any of their tokens sees them.

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

struct accounts : ::testing::Test {
  // A new token of an account, which is there already.
  static std::string token(running_relay& relay, const std::string& account, const std::string& name,
                           std::int64_t expires_in_s = 0) {
    const json::object made = relay.admin({{"command", "token-create"},
                                           {"account", json::string(account)},
                                           {"name", json::string(name)},
                                           {"expires_in_s", expires_in_s}});
    EXPECT_TRUE(made.at("ok").as_bool()) << json::serialize(made);
    return std::string(text_of(made, "token"));
  }
  static client with(const running_relay& relay, const std::string& token) {
    return client(relay.port(), "Bearer " + token);
  }
  static json::object done(running_relay& relay, json::object command) {
    json::object answer = relay.admin(std::move(command));
    EXPECT_TRUE(answer.at("ok").as_bool()) << json::serialize(answer);
    return answer;
  }
  static std::string id_of(const response& r) {
    EXPECT_EQ(r.status, 201) << r.body;
    return std::string(text_of(r.json().as_object(), "id"));
  }

  temp_dir dir;
};

TEST_F(accounts, all_tokens_of_one_see_its_jobs_and_no_other_does) {
  running_simulator sim;
  const config settings = test_config(dir, sim.url());
  std::string laptop, server, other, id;
  {
    running_relay relay(settings);
    done(relay, {{"command", "account-create"}, {"name", "studio"}, {"contact", "studio@example.com"}});
    laptop = token(relay, "studio", "laptop");
    server = token(relay, "studio", "server");
    other = relay.token("other");
    const std::vector<std::string> key{"Idempotency-Key: one-job"};
    const std::string body = R"({"prompt":"abc"})";
    id = id_of(with(relay, laptop).request("POST", generations, body, key));
    const response again = with(relay, server).request("POST", generations, body, key);
    EXPECT_EQ(id_of(again), id) << "keys are the account's";
    EXPECT_EQ(again.header("idempotent-replayed"), "true");
    EXPECT_NE(id_of(with(relay, other).request("POST", generations, body, key)), id);
  }
  running_relay relay(settings);  // also after a restart
  for (const std::string& t : {laptop, server}) {
    const client c = with(relay, t);
    EXPECT_EQ(c.get(generations + "/" + id).status, 200);
    EXPECT_EQ(c.get(generations).json().at("generations").as_array().size(), 1u);
    EXPECT_EQ(c.post("/luma/tasks", R"({"ids":[")" + id + R"("]})").json().at("data").as_array().size(), 1u);
    EXPECT_EQ(c.get("/luma/users/me").json().at("username"), "studio");
  }
  const client stranger = with(relay, other);
  const response foreign = stranger.get(generations + "/" + id);
  const std::string absent = generations + "/01936e4f-a1b2-7000-8000-000000000001";
  EXPECT_EQ(foreign.status, 404);
  EXPECT_EQ(foreign.body, stranger.get(absent).body) << "no difference";
  const json::object shown = done(relay, {{"command", "task-show"}, {"id", json::string(id)}});
  EXPECT_EQ(shown.at("task").at("account"), "studio");
  EXPECT_EQ(shown.at("task").at("token"), "laptop");
  EXPECT_EQ(with(relay, server).request("DELETE", generations + "/" + id, {}).status, 204);
}

TEST_F(accounts, a_leaked_token_is_replaced_and_no_job_is_lost) {
  running_simulator sim;
  tcp_gate gate(sim.port());
  config settings = test_config(dir, gate.url());
  settings.submit.deadline = milliseconds(120'000);
  running_relay relay(settings);
  done(relay, {{"command", "account-create"}, {"name", "studio"}});
  const std::string leaked = token(relay, "studio", "leaked");
  const client good = with(relay, token(relay, "studio", "good"));
  const std::string bought = id_of(with(relay, leaked).post(generations, R"({"prompt":"before"})"));
  gate.refuse_new();
  gate.cut_all();
  const std::string thiefs = id_of(with(relay, leaked).post(generations, R"({"prompt":"the thief's"})"));
  const std::string own = id_of(good.post(generations, R"({"prompt":"our own"})"));
  const json::object revoked = done(relay, {{"command", "token-revoke"}, {"name", "leaked"}});
  EXPECT_EQ(revoked.at("cancelled").as_int64() + revoked.at("submitting").as_int64(), 1)
      << "what it had not submitted, and nothing of the others";
  gate.let_through();
  EXPECT_EQ(with(relay, leaked).get(generations).status, 401);
  const auto ended = [&](const std::string& id, const char* state) {
    return relay.wait_until(
        [&] { return good.get(generations + "/" + id).body.contains(R"("state":")" + std::string(state)); });
  };
  EXPECT_TRUE(ended(own, "completed"));
  EXPECT_TRUE(ended(bought, "completed")) << "jobs of the revoked token are the account's";
  EXPECT_TRUE(ended(thiefs, "failed"));
}

TEST_F(accounts, one_that_is_disabled_is_refused_at_once_and_its_jobs_stay) {
  running_simulator sim;
  const config settings = test_config(dir, sim.url());
  std::string one, two, id;
  {
    running_relay relay(settings);
    done(relay, {{"command", "account-create"}, {"name", "studio"}});
    one = token(relay, "studio", "one");
    two = token(relay, "studio", "two");
    id = id_of(with(relay, one).post(generations, R"({"prompt":"abc"})"));
    done(relay, {{"command", "account-disable"}, {"name", "studio"}});
    for (const std::string& t : {one, two}) {
      const response refused = with(relay, t).get(generations);
      EXPECT_EQ(refused.status, 401);
      EXPECT_NE(refused.body.find("the account of this API key is disabled"), std::string::npos);
    }
    EXPECT_FALSE(relay.admin({{"command", "token-create"}, {"account", "studio"}, {"name", "three"}})
                     .at("ok")
                     .as_bool());
  }
  running_relay relay(settings);
  EXPECT_EQ(with(relay, one).get(generations).status, 401) << "also after a restart";
  done(relay, {{"command", "account-enable"}, {"name", "studio"}});
  EXPECT_EQ(with(relay, two).get(generations + "/" + id).status, 200);
}

TEST_F(accounts, a_token_that_has_expired_is_refused_and_the_others_work) {
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  done(relay, {{"command", "account-create"}, {"name", "studio"}});
  const std::string long_lived = token(relay, "studio", "long", 3'600);
  const std::string brief = token(relay, "studio", "brief", 1);
  EXPECT_EQ(with(relay, long_lived).get(generations).status, 200);
  // Asked until its second is over.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  response r = with(relay, brief).get(generations);
  while (r.status == 200 && std::chrono::steady_clock::now() < give_up)
    r = with(relay, brief).get(generations);
  EXPECT_EQ(r.status, 401);
  EXPECT_NE(r.body.find("this API key has expired"), std::string::npos) << r.body;
  EXPECT_EQ(with(relay, long_lived).get(generations).status, 200);
  const json::object late = relay.admin({{"command", "token-rotate"}, {"name", "brief"}, {"grace_s", 60}});
  EXPECT_NE(text_of(late, "message").find("this token expired at"), std::string::npos);
}

TEST_F(accounts, each_has_limits_of_its_own_and_so_has_each_token) {
  running_simulator sim(running_simulator::stepping());
  config settings = test_config(dir, sim.url());
  settings.limits.open_per_account = 2;
  settings.poll.interval = milliseconds(3'600'000);  // nothing ends by itself
  std::string usual, large, narrow;
  const auto made = [](const client& c, int n) {
    int out = 0;
    for (int i = 0; i < n; ++i) out += c.post(generations, R"({"prompt":"abc"})").status == 201;
    return out;
  };
  {
    running_relay relay(settings);
    usual = relay.token("usual");
    done(relay, {{"command", "account-create"}, {"name", "large"}, {"limits", {{"open", 5}, {"batch", 2}}}});
    large = token(relay, "large", "all");
    const json::object one = done(relay, {{"command", "token-create"},
                                          {"account", "large"},
                                          {"name", "narrow"},
                                          {"limits", {{"open", 1}, {"batch", 1}}}});
    narrow = text_of(one, "token");
    EXPECT_EQ(made(with(relay, usual), 4), 2) << "as configured";
    EXPECT_EQ(made(with(relay, narrow), 2), 1);
    const response refused = with(relay, narrow).post(generations, R"({"prompt":"abc"})");
    EXPECT_EQ(refused.status, 429);
    EXPECT_NE(refused.body.find("This API key has reached its limit of 1 open"), std::string::npos);
  }
  running_relay relay(settings);  // what is open is counted anew
  EXPECT_EQ(made(with(relay, narrow), 1), 0);
  EXPECT_EQ(made(with(relay, large), 6), 4) << "with that of the other token";
  EXPECT_NE(with(relay, large).post(generations, R"({"prompt":"abc"})").body.find("This account has reached"),
            std::string::npos);
  const auto batch = [](const client& c, const char* ids) {
    return c.post("/luma/tasks", std::string(R"({"ids":[)") + ids + "]}").status;
  };
  EXPECT_EQ(batch(with(relay, large), R"("a","b")"), 200);
  EXPECT_EQ(batch(with(relay, large), R"("a","b","c")"), 400);
  EXPECT_EQ(batch(with(relay, narrow), R"("a","b")"), 400);
  done(relay, {{"command", "account-set"}, {"name", "large"}, {"limits", {{"open", nullptr}}}});
  EXPECT_EQ(made(with(relay, large), 1), 0) << "as configured from now on";
  done(relay, {{"command", "account-set"}, {"name", "large"}, {"limits", {{"open", 0}}}});
  EXPECT_EQ(made(with(relay, large), 10), 10) << "none";
}

TEST_F(accounts, requests_of_a_minute_are_counted_and_each_response_says_how_many_are_left) {
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.limits.requests_per_minute_per_account = 5;
  running_relay relay(settings);
  const client me = relay.as("me");
  for (int left = 4; left >= 0; --left) {
    // One whose body does not come with its head is looked at before the body is read too, and counts once.
    const response r = left == 2 ? me.post(generations, "[" + std::string(200'000, ' ') + "]")
                       : left == 1
                           ? me.post("/luma/tasks", R"({"ids":["x"])" + std::string(200'000, ' ') + "}")
                           : me.get(generations);
    EXPECT_EQ(r.status, left == 2 ? 422 : 200) << r.body;
    EXPECT_EQ(r.header("x-ratelimit-limit"), "5");
    EXPECT_EQ(r.header("x-ratelimit-remaining"), std::to_string(left));
  }
  for (const char* path : {"/dream-machine/v1/generations", "/luma/users/me"}) {
    const response refused = me.get(path);
    EXPECT_EQ(refused.status, 429) << path;
    EXPECT_EQ(refused.header("x-ratelimit-remaining"), "0");
    EXPECT_EQ(refused.header("retry-after"), refused.header("x-ratelimit-reset"));
    EXPECT_GT(std::stoi(refused.header("retry-after")), 30);
    EXPECT_LE(std::stoi(refused.header("retry-after")), 61);
    EXPECT_NE(refused.body.find("This account has reached its limit of 5 requests a minute"),
              std::string::npos)
        << refused.body;
  }
  const response other = relay.as("other").get(generations);
  EXPECT_EQ(other.status, 200);
  EXPECT_EQ(other.header("x-ratelimit-remaining"), "4");
  done(relay, {{"command", "account-set"}, {"name", "me"}, {"limits", {{"requests_per_minute", 0}}}});
  const response free = me.get(generations);
  EXPECT_EQ(free.status, 200);
  EXPECT_EQ(free.header("x-ratelimit-limit"), "") << "there is none";
}

TEST_F(accounts, a_token_may_be_for_some_addresses_and_an_account_for_some_kinds_of_jobs) {
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  done(relay, {{"command", "account-create"}, {"name", "studio"}, {"actions", {"image"}}});
  const auto bound_to = [&](const char* name, json::array addresses) {
    const json::object made = done(relay, {{"command", "token-create"},
                                           {"account", "studio"},
                                           {"name", name},
                                           {"addresses", std::move(addresses)}});
    return with(relay, std::string(text_of(made, "token")));
  };
  const response refused = bound_to("far", {"203.0.113.0/24", "2001:db8::/32"}).get(generations);
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("may not be used from the address 127.0.0.1"), std::string::npos)
      << refused.body;
  const client near = bound_to("near", {"203.0.113.0/24", "127.0.0.0/8"});
  EXPECT_EQ(near.get(generations).status, 200);
  const json::object bad = relay.admin(
      {{"command", "token-create"}, {"account", "studio"}, {"name", "x"}, {"addresses", {"everywhere"}}});
  EXPECT_NE(text_of(bad, "message").find("everywhere"), std::string::npos);

  EXPECT_EQ(near.post(generations + "/image", R"({"prompt":"abc"})").status, 201);
  const response video = near.post(generations, R"({"prompt":"abc"})");
  EXPECT_EQ(video.status, 403);
  EXPECT_NE(video.body.find("may not create jobs of the kind generations; allowed: image"), std::string::npos)
      << video.body;
  done(relay, {{"command", "account-set"}, {"name", "studio"}, {"actions", json::array{}}});
  EXPECT_EQ(near.post(generations, R"({"prompt":"abc"})").status, 201);
  const json::object odd =
      relay.admin({{"command", "account-set"}, {"name", "studio"}, {"actions", {"dance"}}});
  EXPECT_TRUE(text_of(odd, "message").starts_with("\"dance\" is no kind of job; there are generations, "))
      << odd;
}

TEST_F(accounts, one_may_be_for_some_models_by_their_own_names) {
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.models.names.aliases = {{"fast", "ray-flash-2"}};
  running_relay relay(settings);
  const client me = relay.as("me");
  done(relay, {{"command", "account-set"}, {"name", "me"}, {"models", {"ray-flash-*", "photon-1"}}});
  const response refused = me.post(generations, R"({"prompt":"abc","model":"ray-2"})");
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("may not use the model ray-2; allowed: ray-flash-*, photon-1"),
            std::string::npos)
      << refused.body;
  EXPECT_EQ(me.post(generations, R"({"prompt":"abc"})").status, 403) << "the usual model is meant";
  EXPECT_EQ(me.post(generations, R"({"prompt":"abc","model":"fast"})").status, 201) << "an alias";
  EXPECT_EQ(me.post(generations + "/image", R"({"prompt":"abc","model":"photon-1"})").status, 201);
  EXPECT_EQ(sim.created(), 2);
  const json::object odd = relay.admin({{"command", "account-set"}, {"name", "me"}, {"models", {"a b"}}});
  EXPECT_FALSE(odd.at("ok").as_bool());
  done(relay, {{"command", "account-set"}, {"name", "me"}, {"models", json::array{}}});
  EXPECT_EQ(me.post(generations, R"({"prompt":"abc","model":"ray-2"})").status, 201);
}

TEST_F(accounts, a_token_is_changed_without_another_secret) {
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client me = relay.as("me");
  done(relay,
       {{"command", "token-set"}, {"name", "me"}, {"new_name", "laptop"}, {"addresses", {"203.0.113.9"}}});
  EXPECT_EQ(me.get(generations).status, 403);
  done(relay, {{"command", "token-set"},
               {"name", "laptop"},
               {"addresses", json::array{}},
               {"limits", {{"requests_per_minute", 1}}}});
  EXPECT_EQ(me.get(generations).status, 200);
  EXPECT_EQ(me.get(generations).status, 429);
  EXPECT_FALSE(relay.admin({{"command", "token-set"}, {"name", "me"}}).at("ok").as_bool()) << "its old name";
  token(relay, "me", "other");
  const json::object taken =
      relay.admin({{"command", "token-set"}, {"name", "other"}, {"new_name", "laptop"}});
  EXPECT_NE(text_of(taken, "message").find("a token named \"laptop\" already"), std::string::npos);
  const json::object set =
      done(relay, {{"command", "token-set"}, {"name", "laptop"}, {"expires_in_s", 3'600}});
  EXPECT_FALSE(text_of(set, "expires_at").empty());
}

TEST_F(accounts, the_day_of_a_tokens_last_use_is_known_after_a_restart) {
  running_simulator sim;
  const config settings = test_config(dir, sim.url());
  const auto last_used = [](running_relay& relay) {
    const json::object all = done(relay, {{"command", "token-list"}});
    std::string out;
    for (const json::value& t : all.at("tokens").as_array())
      out += std::string(text_of(t.as_object(), "name")) + (t.at("last_used").is_null() ? " - " : " used ");
    return out;
  };
  {
    running_relay relay(settings);
    const client one = relay.as("one");
    relay.token("two");
    EXPECT_EQ(last_used(relay), "one - two - ");
    EXPECT_EQ(one.get(generations).status, 200);
  }
  running_relay relay(settings);
  EXPECT_EQ(last_used(relay), "one used two - ");
}

TEST_F(accounts, one_with_more_weight_has_more_jobs_in_a_turn) {
  running_simulator sim;
  tcp_gate gate(sim.port());
  config settings = test_config(dir, gate.url());
  settings.submit.deadline = milliseconds(120'000);
  settings.upstreams[0].max_connections = 1;  // one after the other, so that there is an order
  gate.refuse_new();
  running_relay relay(settings);
  done(relay, {{"command", "account-create"}, {"name", "heavy"}, {"weight", 3}});
  const client heavy = with(relay, token(relay, "heavy", "t")), light = relay.as("light");
  for (int i = 0; i < 12; ++i) {
    id_of(heavy.post(generations, R"({"prompt":"heavy"})"));
    id_of(light.post(generations, R"({"prompt":"light"})"));
  }
  gate.let_through();
  EXPECT_TRUE(relay.wait_until([&] { return sim.created() == 24; }));
  std::string order;
  for (const json::value& entry : sim.log().at("creates").as_array())
    order += text_of(entry.at("body").as_object(), "prompt").front();
  // The first may have been assigned before the others were there.
  const std::string turns = order.substr(order.find("hhhl"));
  EXPECT_TRUE(turns.starts_with("hhhlhhhl")) << order;
}

TEST_F(accounts, a_name_that_several_tokens_have_must_be_said_in_full) {
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  for (const char* name : {"a", "b"}) {
    done(relay, {{"command", "account-create"}, {"name", name}});
    token(relay, name, "laptop");
  }
  const auto listed = [&](const char* account, const char* name) {
    return relay.admin({{"command", "task-list"}, {"account", account}, {"token", name}});
  };
  EXPECT_TRUE(listed("a", "laptop").at("ok").as_bool()) << "that of a";
  EXPECT_NE(text_of(listed("a", "b/laptop"), "message").find("of another account"), std::string::npos);
  const json::object vague = relay.admin({{"command", "token-revoke"}, {"name", "laptop"}});
  EXPECT_EQ(text_of(vague, "message"), "several tokens have this name; say which: a/laptop, b/laptop");
  done(relay, {{"command", "token-revoke"}, {"name", "b/laptop"}});
  done(relay, {{"command", "token-rotate"}, {"name", "laptop"}, {"grace_s", 60}});
  const json::object list = done(relay, {{"command", "token-list"}, {"account", "a"}});
  ASSERT_EQ(list.at("tokens").as_array().size(), 1u);
  EXPECT_FALSE(list.at("tokens").at(0).at("old_ends_at").is_null());
  done(relay, {{"command", "account-set"}, {"name", "a"}, {"new_name", "alpha"}, {"note", "a friend"}});
  EXPECT_EQ(done(relay, {{"command", "account-show"}, {"name", "alpha"}}).at("account").at("note"),
            "a friend");
  const json::object taken = relay.admin({{"command", "account-set"}, {"name", "b"}, {"new_name", "alpha"}});
  EXPECT_NE(text_of(taken, "message").find("already"), std::string::npos);
}

// A command may be given twice, and beside others: what is refused on disk is refused.
TEST_F(accounts, commands_beside_each_other_leave_memory_as_the_disk) {
  running_simulator sim;
  const config settings = test_config(dir, sim.url());
  running_relay relay(settings);
  const auto beside = [&](const json::object& first, const json::object& second) {
    bool done_too = false;
    std::jthread other([&] { done_too = relay.admin(second).at("ok").as_bool(); });
    relay.admin(first);
    other.join();
    return done_too;
  };
  for (int i = 0; i < 20; ++i) {
    const std::string name = "account-" + std::to_string(i);
    const json::string text(name);
    done(relay, {{"command", "account-create"}, {"name", text}});
    const std::string one = token(relay, name, "one-" + std::to_string(i));
    const std::string two = token(relay, name, "two-" + std::to_string(i));
    const json::string one_name("one-" + std::to_string(i)), two_name("two-" + std::to_string(i));
    const json::object revoke{{"command", "token-revoke"}, {"name", one_name}};
    beside(revoke, i % 2 == 0
                       ? revoke
                       : json::object{{"command", "token-rotate"}, {"name", one_name}, {"grace_s", 60}});
    EXPECT_EQ(with(relay, one).get(generations).status, 401) << i;
    EXPECT_EQ(with(relay, two).get(generations).status, 200) << i;
    const json::object disable{{"command", "account-disable"}, {"name", text}};
    const bool was_set =
        beside(disable, i % 3 == 0 ? disable
                                   : json::object{{"command", "account-set"},
                                                  {"name", text},
                                                  {"limits", {{"requests_per_minute", 1'000}}}});
    EXPECT_EQ(with(relay, two).get(generations).status, 401) << i;
    done(relay, {{"command", "account-enable"}, {"name", text}});
    EXPECT_EQ(with(relay, two).get(generations).header("x-ratelimit-limit"),
              i % 3 != 0 && was_set ? "1000" : "")
        << i;
    EXPECT_EQ(with(relay, one).get(generations).status, 401) << i;
  }
}

// Rule M12: what was refused is no older job of the same text.
TEST_F(accounts, the_retry_of_a_create_that_was_one_too_many_is_a_job_of_its_own) {
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client me = relay.as("me");
  const auto send = [&](const char* retry) {
    return me.request("POST", generations, R"({"prompt":"abc"})",
                      {std::string("x-stainless-retry-count: ") + retry, "x-stainless-timeout: 600"});
  };
  done(relay, {{"command", "account-set"}, {"name", "me"}, {"limits", {{"requests_per_minute", 1}}}});
  const std::string first = id_of(send("0"));
  EXPECT_EQ(send("0").status, 429);
  done(relay, {{"command", "account-set"}, {"name", "me"}, {"limits", {{"requests_per_minute", 9}}}});
  const response retry = send("1");
  EXPECT_NE(id_of(retry), first);
  EXPECT_EQ(retry.header("idempotent-replayed"), "");
}

}  // namespace
}  // namespace relay::test
