// Prices, balances and usage: what a customer sees of them, and what an operator does.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";
const std::string five_seconds = R"({"prompt":"abc","model":"ray-2","duration":"5s"})";

price_config price_of(const char* model, const char* duration, std::int64_t millionths,
                      bool per_second = false) {
  price_config p;
  p.rule = {"*", model, "*", duration, {millionths}, per_second};
  p.price = to_text(p.rule.price);
  if (per_second) p.per = "second";
  return p;
}

struct billing_test : ::testing::Test {
  config settings() {
    config c = test_config(dir, sim.url());
    c.prices = {price_of("ray-2", "5s", 400'000), price_of("ray-2", "*", 100'000, true)};
    return c;
  }
  static json::object done(running_relay& relay, const std::string& method, const std::string& path,
                           const json::object& body = {}) {
    const response r = relay.admin(method, path, body);
    EXPECT_TRUE(r.status == 200 || r.status == 201) << path << ": " << r.status << " " << r.body;
    return r.json().as_object();
  }
  // A customer that pays in advance, with this much.
  static client customer(running_relay& relay, const std::string& name, const std::string& has) {
    const client c = relay.as(name);
    done(relay, "PATCH", "/accounts/" + name, {{"prepaid", true}});
    if (has != "0") top_up(relay, name, has);
    return c;
  }
  static void top_up(running_relay& relay, const std::string& name, const std::string& amount) {
    done(relay, "POST", "/accounts/" + name + "/topup", {{"amount", json::string(amount)}});
  }
  static std::string id_of(const response& r) {
    EXPECT_EQ(r.status, 201) << r.body;
    return std::string(text_of(r.json().as_object(), "id"));
  }
  static std::string has(running_relay& relay, const std::string& name) {
    const json::object a = done(relay, "GET", "/accounts/" + name);
    return std::string(text_of(a, "balance")) + " held " + std::string(text_of(a, "held"));
  }
  // The oldest first.
  static std::string rows(running_relay& relay, const std::string& name) {
    const json::object all = done(relay, "GET", "/ledger?account=" + name);
    std::string out;
    for (const json::value& row : all.at("items").as_array())
      out.insert(0, std::string(text_of(row.as_object(), "kind")) + " ");
    return out;
  }
  // The job's end is on disk, and with it what it costs.
  static void ends(const client& c, const std::string& id, const std::string& state = "completed") {
    wait_for_state(c, generations + "/" + id, state);
  }

  temp_dir dir;
  running_simulator sim;
};

TEST_F(billing_test, a_job_is_held_charged_and_seen_by_its_customer) {
  running_relay relay(settings());
  const client c = customer(relay, "alice", "1");
  const response made = c.post(generations, five_seconds);
  EXPECT_EQ(made.header("x-relay-cost"), "0.40");
  const std::string id = id_of(made);
  ends(c, id);
  EXPECT_EQ(has(relay, "alice"), "0.60 held 0.00");
  EXPECT_EQ(rows(relay, "alice"), "topup hold charge ");

  // In each of the words that clients know.
  EXPECT_EQ(c.get("/dream-machine/v1/credits").body, R"({"credit_balance":60.00})");
  EXPECT_EQ(c.get("/luma/subscription/usage").body, R"({"available":60})");
  const json::value plan = c.get("/v1/dashboard/billing/subscription").json();
  EXPECT_EQ(plan.at("object"), "billing_subscription");
  EXPECT_EQ(plan.at("hard_limit_usd").to_number<double>(), 1.0);
  EXPECT_EQ(plan.at("soft_limit_usd"), plan.at("system_hard_limit_usd"));
  EXPECT_TRUE(plan.at("has_payment_method").as_bool());
  const json::value used =
      c.get("/v1/dashboard/billing/usage?start_date=2026-01-01&end_date=2026-12-31").json();
  EXPECT_EQ(used.at("object"), "list");
  EXPECT_EQ(used.at("total_usage").to_number<double>(), 40.0);

  const json::value report = c.get("/relay/v1/usage").json();
  EXPECT_EQ(report.at("currency"), "USD");
  EXPECT_EQ(report.at("balance"), "0.60");
  ASSERT_EQ(report.at("rows").as_array().size(), 1u);
  const json::object& row = report.at("rows").as_array().front().as_object();
  EXPECT_EQ(row.at("model"), "ray-2");
  EXPECT_EQ(row.at("action"), "generations");
  EXPECT_EQ(row.at("jobs"), 1);
  EXPECT_EQ(row.at("amount"), "0.40");
  EXPECT_FALSE(row.contains("cost")) << "what upstreams take is the operator's alone";

  // The row of the hold leads to the request, that of the charge to the upstream's job.
  const json::object of_job = done(relay, "GET", "/ledger?job=" + id);
  const json::array& both = of_job.at("items").as_array();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[1].at("request_id").as_string(), made.header("x-request-id"));
  EXPECT_FALSE(both[0].at("upstream_id").as_string().empty());
  EXPECT_EQ(both[0].at("token"), "alice");
}

TEST_F(billing_test, what_is_not_covered_is_refused_in_the_words_of_clients) {
  running_relay relay(settings());
  const client c = customer(relay, "alice", "0.39");
  struct sample {
    std::string path, body;
  };
  for (const sample& s : {sample{generations, five_seconds},
                          sample{"/luma/generations", R"({"user_prompt":"abc","duration":"5s"})"}}) {
    const response refused = c.post(s.path, s.body);
    EXPECT_EQ(refused.status, 402);
    const json::value body = refused.json();
    EXPECT_EQ(body.at("error").at("code"), "insufficient_quota");
    EXPECT_EQ(body.at("detail"),
              "Insufficient credits: this job costs 0.40 USD, and 0.39 USD are left; nothing was submitted");
    EXPECT_EQ(refused.header("x-should-retry"), "false");
  }
  EXPECT_EQ(sim.created(), 0);
  EXPECT_EQ(rows(relay, "alice"), "topup ");
  EXPECT_EQ(c.get(generations).json().at("count"), 0);
  top_up(relay, "alice", "0.01");
  id_of(c.post(generations, five_seconds));
}

TEST_F(billing_test, a_job_that_failed_costs_nothing) {
  running_relay relay(settings());
  const client c = customer(relay, "alice", "1");
  ends(c, id_of(c.post(generations, R"({"prompt":"#fail","model":"ray-2","duration":"5s"})")), "failed");
  EXPECT_EQ(c.post(generations, R"({"prompt":"#refuse-400","model":"ray-2","duration":"5s"})").status, 400);
  EXPECT_EQ(has(relay, "alice"), "1.00 held 0.00");
  EXPECT_EQ(rows(relay, "alice"), "topup hold release hold release ");
  const json::object report = done(relay, "GET", "/usage?by=outcome");
  std::string outcomes;
  for (const json::value& row : report.at("rows").as_array())
    outcomes += std::string(text_of(row.as_object(), "outcome")) + " ";
  EXPECT_EQ(outcomes, "failed refused ");
}

TEST_F(billing_test, many_clients_never_spend_more_than_there_is) {
  config set = settings();
  set.upstreams[0].max_concurrent = 3;  // some of them wait
  running_relay relay(set);
  const client c = customer(relay, "alice", "2");
  constexpr int clients = 50;
  std::atomic<int> made = 0, refused = 0, other = 0;
  {
    std::vector<std::jthread> all;
    for (int i = 0; i < clients; ++i) {
      all.emplace_back([&] {
        const int status = c.post(generations, five_seconds).status;
        ++(status == 201 ? made : status == 402 ? refused : other);
      });
    }
  }
  EXPECT_EQ(made, 5) << "five of 0.40";
  EXPECT_EQ(refused, clients - 5);
  EXPECT_EQ(other, 0);
  EXPECT_TRUE(relay.wait_until([&] { return has(relay, "alice") == "0.00 held 0.00"; }));
  EXPECT_EQ(sim.created(), 5);
}

TEST_F(billing_test, a_retry_is_paid_for_once) {
  running_relay relay(settings());
  const client c = customer(relay, "alice", "0.40");
  const std::vector<std::string> key{"Idempotency-Key: one"};
  const std::string id = id_of(c.request("POST", generations, five_seconds, key));
  const response again = c.request("POST", generations, five_seconds, key);
  EXPECT_EQ(id_of(again), id);
  EXPECT_EQ(again.header("x-relay-cost"), "0.40");
  ends(c, id);
  EXPECT_EQ(rows(relay, "alice"), "topup hold charge ");
  // A refused create takes no key: with more money it is made.
  const std::vector<std::string> other{"Idempotency-Key: two"};
  EXPECT_EQ(c.request("POST", generations, five_seconds, other).status, 402);
  top_up(relay, "alice", "0.40");
  id_of(c.request("POST", generations, five_seconds, other));
}

TEST_F(billing_test, a_job_keeps_the_price_it_was_taken_at) {
  config set = settings();
  set.upstreams[0].max_concurrent = 1;
  running_relay relay(set);
  const client c = customer(relay, "alice", "10");
  const std::string first = id_of(c.post(generations, five_seconds));
  set.prices.front().rule.price = {2'000'000};
  set.prices.front().price = "2";
  relay.set_config(set);
  const json::object reloaded = done(relay, "POST", "/reload");
  EXPECT_NE(json::serialize(reloaded).find("prices are others"), std::string::npos);
  const response second = c.post(generations, five_seconds);
  EXPECT_EQ(second.header("x-relay-cost"), "2.00");
  ends(c, first);
  ends(c, id_of(second));
  EXPECT_EQ(has(relay, "alice"), "7.60 held 0.00");
}

TEST_F(billing_test, groups_have_a_factor_and_seconds_a_price) {
  config set = settings();
  group_config friends;
  friends.name = "friends";
  friends.price_factor = "0.5";
  friends.factor = {500'000};
  set.groups = {friends};
  set.billing.unpriced = "free";
  running_relay relay(set);
  const client c = customer(relay, "alice", "10");
  EXPECT_EQ(c.post(generations, R"({"prompt":"abc","duration":"9s"})").header("x-relay-cost"), "0.90");
  done(relay, "PATCH", "/accounts/alice", {{"group", "friends"}});
  EXPECT_EQ(c.post(generations, R"({"prompt":"abc","duration":"9s"})").header("x-relay-cost"), "0.45");
  EXPECT_EQ(c.post(generations, R"({"prompt":"abc"})").header("x-relay-cost"), "0.00")
      << "no duration is no price, and such jobs are free here";
  EXPECT_EQ(relay.admin("PATCH", "/accounts/alice", {{"group", "foes"}}).status, 400);
}

// A client must not get what costs by the second for nothing, by not saying how long it is.
TEST_F(billing_test, what_has_no_price_is_refused_unless_it_is_said_to_be_free) {
  running_relay relay(settings());
  const client c = customer(relay, "alice", "10");
  const response refused = c.post(generations, R"({"prompt":"abc","model":"ray-3","duration":"5s"})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("no price for such a job (kind generations, model ray-3, resolution none, "
                              "duration 5s)"),
            std::string::npos)
      << refused.body;
  EXPECT_EQ(c.post(generations, R"({"prompt":"abc"})").status, 400) << "no duration, no price";
  EXPECT_EQ(sim.created(), 0);
}

// Whatever an upstream would take when none is named.
TEST_F(billing_test, a_job_is_made_with_the_model_that_it_is_priced_for) {
  config set = settings();
  set.upstreams[0].default_model = "ray-3";
  running_relay relay(set);
  const client c = customer(relay, "alice", "10");
  const response made = c.post(generations, R"({"prompt":"abc","duration":"5s"})");
  EXPECT_EQ(made.header("x-relay-cost"), "0.40");
  ends(c, id_of(made));
  EXPECT_EQ(text_of(sim.log().at("creates").at(0).at("body").as_object(), "model"), "ray-2");
}

TEST_F(billing_test, what_clients_call_a_model_fills_no_table) {
  config set = settings();
  set.billing.unpriced = "free";
  running_relay relay(set);
  const client c = customer(relay, "alice", "10");
  for (const char* model : {"one", "another", "ray-2"})
    EXPECT_EQ(
        c.post(generations, R"({"prompt":"#refuse-400","model":")" + std::string(model) + R"("})").status,
        400);
  std::string models;
  const json::value report = c.get("/relay/v1/usage?by=model").json();
  for (const json::value& row : report.at("rows").as_array())
    models += std::string(text_of(row.as_object(), "model")) + " ";
  EXPECT_EQ(models, "other ray-2 ");
}

TEST_F(billing_test, without_prices_nothing_is_said_of_them_and_use_is_counted) {
  running_relay relay(test_config(dir, sim.url()));
  const client c = customer(relay, "alice", "0");
  const response made = c.post(generations, five_seconds);
  EXPECT_EQ(made.header("x-relay-cost"), "");
  ends(c, id_of(made));
  EXPECT_EQ(rows(relay, "alice"), "");
  EXPECT_EQ(c.get("/relay/v1/usage?by=outcome").json().at("rows").as_array().size(), 1u);
  // One that pays afterwards has what the configuration says.
  const client other = relay.as("studio");
  EXPECT_EQ(other.get("/dream-machine/v1/credits").body, R"({"credit_balance":100000.00})");
  EXPECT_TRUE(other.get("/relay/v1/usage").json().at("balance").is_null());
  EXPECT_EQ(other.get("/v1/dashboard/billing/subscription").json().at("hard_limit_usd").to_number<double>(),
            100'000'000.0);
}

TEST_F(billing_test, a_late_success_is_charged_or_free_as_the_operator_says) {
  for (const bool charges : {true, false}) {
    temp_dir own;
    running_simulator late;
    config set = settings();
    set.storage.path = own.file("relay.db");
    set.upstreams[0].url = late.url();
    set.upstreams[0].base = *parse_base_url(late.url());
    set.server.public_url = "http://127.0.0.1:9";
    set.submit.reconcile_deadline = milliseconds(300);
    set.poll.late_interval = milliseconds(100);
    set.billing.late_jobs = charges ? "charge" : "free";
    running_relay relay(set);
    const client c = customer(relay, "alice", "0.40");
    late.list_is_down(true);
    const std::string id = id_of(c.post(generations, R"({"prompt":"#cut","model":"ray-2","duration":"5s"})"));
    ends(c, id, "failed");
    EXPECT_EQ(has(relay, "alice"), "0.40 held 0.00");
    // What it got back is spent meanwhile.
    ends(c, id_of(c.post(generations, five_seconds)));
    late.list_is_down(false);
    ends(c, id);
    EXPECT_EQ(has(relay, "alice"), charges ? "-0.40 held 0.00" : "0.00 held 0.00");
    const json::object of_job = done(relay, "GET", "/ledger?job=" + id);
    EXPECT_EQ(of_job.at("items").as_array().size(), charges ? 3u : 2u);
    EXPECT_EQ(c.get("/luma/subscription/usage").body,
              charges ? R"({"available":-40})" : R"({"available":0})");
  }
}

TEST_F(billing_test, what_upstreams_take_shows_the_margin) {
  config set = settings();
  set.upstreams[0].prices = {price_of("ray-2", "*", 50'000, true)};
  running_relay relay(set);
  const client c = customer(relay, "alice", "10");
  ends(c, id_of(c.post(generations, five_seconds)));
  const json::object report = done(relay, "GET", "/usage?by=account,upstream&account=alice");
  const json::object& row = report.at("rows").as_array().at(0).as_object();
  EXPECT_EQ(row.at("amount"), "0.40");
  EXPECT_EQ(row.at("cost"), "0.25");
  EXPECT_EQ(row.at("margin"), "0.15");
  EXPECT_EQ(row.at("upstream"), "sim");
  const response csv = relay.admin("GET", "/usage?by=account,model&account=alice&format=csv");
  EXPECT_EQ(csv.status, 200);
  EXPECT_TRUE(csv.header("content-type").starts_with("text/csv")) << csv.header("content-type");
  EXPECT_EQ(csv.body.substr(0, csv.body.find(",0.15,")),
            "account,model,jobs,amount,cost,margin,wait_ms,run_ms\r\nalice,ray-2,1,0.40,0.25");
}

TEST_F(billing_test, a_customer_sees_nobody_elses_use) {
  running_relay relay(settings());
  const client alice = customer(relay, "alice", "10"), bob = customer(relay, "bob", "3");
  ends(alice, id_of(alice.post(generations, five_seconds)));
  EXPECT_EQ(bob.get("/relay/v1/usage?by=token").json().at("rows").as_array().size(), 0u);
  EXPECT_EQ(bob.get("/v1/dashboard/billing/usage").body, R"({"object":"list","total_usage":0.00})");
  EXPECT_EQ(bob.get("/dream-machine/v1/credits").body, R"({"credit_balance":300.00})");
  EXPECT_EQ(alice.get("/relay/v1/usage?by=token").json().at("rows").as_array().at(0).at("token"), "alice");
  EXPECT_EQ(relay.as_nobody().get("/relay/v1/usage").status, 401);
}

TEST_F(billing_test, wrong_questions_about_use_say_what_is_allowed) {
  running_relay relay(settings());
  const client c = customer(relay, "alice", "1");
  const std::pair<const char*, const char*> table[] = {
      {"?since=yesterday", "since: must be a day such as 2026-11-29, in UTC"},
      {"?until=2026-02-30", "until: must be a day"},
      {"?since=2026-11-02&until=2026-11-01", "since: must not be after until"},
      {"?by=account", "by: must be some of day, token, action, model, outcome"},
      {"?by=day,upstream", "by: must be some of day"}};
  for (const auto& [query, says] : table) {
    const response refused = c.get(std::string("/relay/v1/usage") + query);
    EXPECT_EQ(refused.status, 400) << query;
    EXPECT_NE(refused.body.find(says), std::string::npos) << refused.body;
  }
  const json::value empty = c.get("/relay/v1/usage?since=2020-01-01&until=2020-01-31&by=").json();
  EXPECT_EQ(empty.at("rows").as_array().size(), 0u);
  EXPECT_EQ(empty.at("since"), "2020-01-01");
}

TEST_F(billing_test, what_an_operator_may_not_do_changes_nothing) {
  running_relay relay(settings());
  customer(relay, "alice", "1");
  const auto refused = [&](const char* what, const char* amount) {
    const response r = relay.admin("POST", std::string("/accounts/alice/") + what, {{"amount", amount}});
    EXPECT_EQ(r.status, 400) << r.body;
    return std::string(text_of(r.json().as_object(), "detail"));
  };
  EXPECT_NE(refused("topup", "-1").find("use adjust"), std::string::npos);
  EXPECT_NE(refused("topup", "ten").find("must be an amount"), std::string::npos);
  EXPECT_NE(refused("adjust", "0").find("changes nothing"), std::string::npos);
  EXPECT_EQ(has(relay, "alice"), "1.00 held 0.00");
  done(relay, "POST", "/accounts/alice/adjust", {{"amount", "-0.25"}, {"note", "a mistake"}});
  EXPECT_EQ(has(relay, "alice"), "0.75 held 0.00");
}

}  // namespace
}  // namespace relay::test
