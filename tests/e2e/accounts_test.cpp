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
    json::object body{{"account", json::string(account)}, {"name", json::string(name)}};
    if (expires_in_s > 0) body["expires_in_s"] = expires_in_s;
    return std::string(text_of(done(relay, "POST", "/tokens", body), "token"));
  }
  static client with(const running_relay& relay, const std::string& token) {
    return client(relay.port(), "Bearer " + token);
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
    done(relay, "POST", "/accounts", {{"name", "studio"}, {"contact", "studio@example.com"}});
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
  const json::object shown = done(relay, "GET", "/jobs/" + id);
  EXPECT_EQ(shown.at("account"), "studio");
  EXPECT_EQ(shown.at("token"), "laptop");
  EXPECT_EQ(with(relay, server).request("DELETE", generations + "/" + id, {}).status, 204);
}

TEST_F(accounts, a_leaked_token_is_replaced_and_no_job_is_lost) {
  running_simulator sim;
  tcp_gate gate(sim.port());
  config settings = test_config(dir, gate.url());
  settings.submit.deadline = milliseconds(120'000);
  running_relay relay(settings);
  done(relay, "POST", "/accounts", {{"name", "studio"}});
  const std::string leaked = token(relay, "studio", "leaked");
  const client good = with(relay, token(relay, "studio", "good"));
  const std::string bought = id_of(with(relay, leaked).post(generations, R"({"prompt":"before"})"));
  gate.refuse_new();
  gate.cut_all();
  const std::string thiefs = id_of(with(relay, leaked).post(generations, R"({"prompt":"the thief's"})"));
  const std::string own = id_of(good.post(generations, R"({"prompt":"our own"})"));
  const json::object revoked = done(relay, "POST", "/tokens/*/leaked/revoke");
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
    done(relay, "POST", "/accounts", {{"name", "studio"}});
    one = token(relay, "studio", "one");
    two = token(relay, "studio", "two");
    id = id_of(with(relay, one).post(generations, R"({"prompt":"abc"})"));
    done(relay, "POST", "/accounts/studio/disable");
    for (const std::string& t : {one, two}) {
      const response refused = with(relay, t).get(generations);
      EXPECT_EQ(refused.status, 401);
      EXPECT_NE(refused.body.find("the account of this API key is disabled"), std::string::npos);
    }
    EXPECT_EQ(relay.admin("POST", "/tokens", {{"account", "studio"}, {"name", "three"}}).status, 409);
  }
  running_relay relay(settings);
  EXPECT_EQ(with(relay, one).get(generations).status, 401) << "also after a restart";
  done(relay, "POST", "/accounts/studio/enable");
  EXPECT_EQ(with(relay, two).get(generations + "/" + id).status, 200);
}

TEST_F(accounts, a_token_that_has_expired_is_refused_and_the_others_work) {
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  done(relay, "POST", "/accounts", {{"name", "studio"}});
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
  const response late = relay.admin("POST", "/tokens/*/brief/rotate", {{"grace_s", 60}});
  EXPECT_NE(detail_of(late).find("this token expired at"), std::string::npos) << late.body;
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
    done(relay, "POST", "/accounts", {{"name", "large"}, {"limits", {{"open", 5}, {"batch", 2}}}});
    large = token(relay, "large", "all");
    const json::object one =
        done(relay, "POST", "/tokens",
             {{"account", "large"}, {"name", "narrow"}, {"limits", {{"open", 1}, {"batch", 1}}}});
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
  done(relay, "PATCH", "/accounts/large", {{"limits", {{"open", nullptr}}}});
  EXPECT_EQ(made(with(relay, large), 1), 0) << "as configured from now on";
  done(relay, "PATCH", "/accounts/large", {{"limits", {{"open", 0}}}});
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
  done(relay, "PATCH", "/accounts/me", {{"limits", {{"requests_per_minute", 0}}}});
  const response free = me.get(generations);
  EXPECT_EQ(free.status, 200);
  EXPECT_EQ(free.header("x-ratelimit-limit"), "") << "there is none";
}

TEST_F(accounts, a_token_may_be_for_some_addresses_and_an_account_for_some_kinds_of_jobs) {
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  done(relay, "POST", "/accounts", {{"name", "studio"}, {"actions", {"image"}}});
  const auto bound_to = [&](const char* name, json::array addresses) {
    const json::object made =
        done(relay, "POST", "/tokens",
             {{"account", "studio"}, {"name", name}, {"addresses", std::move(addresses)}});
    return with(relay, std::string(text_of(made, "token")));
  };
  const response refused = bound_to("far", {"203.0.113.0/24", "2001:db8::/32"}).get(generations);
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("may not be used from the address 127.0.0.1"), std::string::npos)
      << refused.body;
  const client near = bound_to("near", {"203.0.113.0/24", "127.0.0.0/8"});
  EXPECT_EQ(near.get(generations).status, 200);
  const response bad =
      relay.admin("POST", "/tokens", {{"account", "studio"}, {"name", "x"}, {"addresses", {"everywhere"}}});
  EXPECT_EQ(bad.status, 400);
  EXPECT_NE(detail_of(bad).find("everywhere"), std::string::npos) << bad.body;

  EXPECT_EQ(near.post(generations + "/image", R"({"prompt":"abc"})").status, 201);
  const response video = near.post(generations, R"({"prompt":"abc"})");
  EXPECT_EQ(video.status, 403);
  EXPECT_NE(video.body.find("may not create jobs of the kind generations; allowed: image"), std::string::npos)
      << video.body;
  done(relay, "PATCH", "/accounts/studio", {{"actions", json::array{}}});
  EXPECT_EQ(near.post(generations, R"({"prompt":"abc"})").status, 201);
  const response odd = relay.admin("PATCH", "/accounts/studio", {{"actions", {"dance"}}});
  EXPECT_EQ(odd.status, 400);
  EXPECT_TRUE(detail_of(odd).starts_with("actions: \"dance\" is no kind of job; there are generations, "))
      << odd.body;
}

TEST_F(accounts, one_may_be_for_some_models_by_their_own_names) {
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.models.names.aliases = {{"fast", "ray-flash-2"}};
  running_relay relay(settings);
  const client me = relay.as("me");
  done(relay, "PATCH", "/accounts/me", {{"models", {"ray-flash-*", "photon-1"}}});
  const response refused = me.post(generations, R"({"prompt":"abc","model":"ray-2"})");
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("may not use the model ray-2; allowed: ray-flash-*, photon-1"),
            std::string::npos)
      << refused.body;
  EXPECT_EQ(me.post(generations, R"({"prompt":"abc"})").status, 403) << "the usual model is meant";
  EXPECT_EQ(me.post(generations, R"({"prompt":"abc","model":"fast"})").status, 201) << "an alias";
  EXPECT_EQ(me.post(generations + "/image", R"({"prompt":"abc","model":"photon-1"})").status, 201);
  EXPECT_EQ(sim.created(), 2);
  EXPECT_EQ(relay.admin("PATCH", "/accounts/me", {{"models", {"a b"}}}).status, 400);
  done(relay, "PATCH", "/accounts/me", {{"models", json::array{}}});
  EXPECT_EQ(me.post(generations, R"({"prompt":"abc","model":"ray-2"})").status, 201);
}

TEST_F(accounts, a_token_is_changed_without_another_secret) {
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client me = relay.as("me");
  done(relay, "PATCH", "/tokens/*/me", {{"name", "laptop"}, {"addresses", {"203.0.113.9"}}});
  EXPECT_EQ(me.get(generations).status, 403);
  done(relay, "PATCH", "/tokens/*/laptop",
       {{"addresses", json::array{}}, {"limits", {{"requests_per_minute", 1}}}});
  EXPECT_EQ(me.get(generations).status, 200);
  EXPECT_EQ(me.get(generations).status, 429);
  EXPECT_EQ(relay.admin("PATCH", "/tokens/*/me", {{"addresses", json::array{}}}).status, 404)
      << "its old name";
  token(relay, "me", "other");
  const response taken = relay.admin("PATCH", "/tokens/*/other", {{"name", "laptop"}});
  EXPECT_EQ(taken.status, 409);
  EXPECT_NE(detail_of(taken).find("a token named \"laptop\" already"), std::string::npos) << taken.body;
  const json::object set = done(relay, "PATCH", "/tokens/*/laptop", {{"expires_in_s", 3'600}});
  EXPECT_FALSE(text_of(set, "expires_at").empty());
}

TEST_F(accounts, the_day_of_a_tokens_last_use_is_known_after_a_restart) {
  running_simulator sim;
  const config settings = test_config(dir, sim.url());
  const auto last_used = [](running_relay& relay) {
    const json::object all = done(relay, "GET", "/tokens");
    std::string out;
    for (const json::value& t : all.at("items").as_array())
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
  done(relay, "POST", "/accounts", {{"name", "heavy"}, {"weight", 3}});
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
    done(relay, "POST", "/accounts", {{"name", name}});
    token(relay, name, "laptop");
  }
  EXPECT_EQ(relay.admin("GET", "/jobs?account=a&token=laptop").status, 200) << "that of a";
  const response foreign = relay.admin("GET", "/jobs?account=a&token=b/laptop");
  EXPECT_NE(detail_of(foreign).find("of another account"), std::string::npos) << foreign.body;
  const response vague = relay.admin("POST", "/tokens/*/laptop/revoke");
  EXPECT_EQ(detail_of(vague), "several tokens have this name; say which: a/laptop, b/laptop");
  done(relay, "POST", "/tokens/b/laptop/revoke");
  done(relay, "POST", "/tokens/*/laptop/rotate", {{"grace_s", 60}});
  const json::object list = done(relay, "GET", "/tokens?account=a");
  ASSERT_EQ(list.at("items").as_array().size(), 1u);
  EXPECT_FALSE(list.at("items").at(0).at("old_ends_at").is_null());
  done(relay, "PATCH", "/accounts/a", {{"name", "alpha"}, {"note", "a friend"}});
  EXPECT_EQ(done(relay, "GET", "/accounts/alpha").at("note"), "a friend");
  const response taken = relay.admin("PATCH", "/accounts/b", {{"name", "alpha"}});
  EXPECT_EQ(taken.status, 409);
  EXPECT_NE(detail_of(taken).find("already"), std::string::npos) << taken.body;
}

// A command may be given twice, and beside others: what is refused on disk is refused.
TEST_F(accounts, commands_beside_each_other_leave_memory_as_the_disk) {
  running_simulator sim;
  const config settings = test_config(dir, sim.url());
  running_relay relay(settings);
  struct request {
    std::string method, path;
    json::object body = {};
  };
  const auto beside = [&](const request& first, const request& second) {
    bool done_too = false;
    std::jthread other(
        [&] { done_too = relay.admin(second.method, second.path, second.body).status == 200; });
    relay.admin(first.method, first.path, first.body);
    other.join();
    return done_too;
  };
  for (int i = 0; i < 20; ++i) {
    const std::string name = "account-" + std::to_string(i);
    const std::string path = "/accounts/" + name;
    done(relay, "POST", "/accounts", {{"name", json::string(name)}});
    const std::string one = token(relay, name, "one-" + std::to_string(i));
    const std::string two = token(relay, name, "two-" + std::to_string(i));
    const std::string path_of_one = "/tokens/*/one-" + std::to_string(i);
    const request revoke{"POST", path_of_one + "/revoke"};
    beside(revoke, i % 2 == 0 ? revoke : request{"POST", path_of_one + "/rotate", {{"grace_s", 60}}});
    EXPECT_EQ(with(relay, one).get(generations).status, 401) << i;
    EXPECT_EQ(with(relay, two).get(generations).status, 200) << i;
    const request disable{"POST", path + "/disable"};
    const request set{"PATCH", path, {{"limits", {{"requests_per_minute", 1'000}}}}};
    const bool was_set = beside(disable, i % 3 == 0 ? disable : set);
    EXPECT_EQ(with(relay, two).get(generations).status, 401) << i;
    done(relay, "POST", path + "/enable");
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
  done(relay, "PATCH", "/accounts/me", {{"limits", {{"requests_per_minute", 1}}}});
  const std::string first = id_of(send("0"));
  EXPECT_EQ(send("0").status, 429);
  done(relay, "PATCH", "/accounts/me", {{"limits", {{"requests_per_minute", 9}}}});
  const response retry = send("1");
  EXPECT_NE(id_of(retry), first);
  EXPECT_EQ(retry.header("idempotent-replayed"), "");
}

}  // namespace
}  // namespace relay::test
