// A job is billed once: when the upstream's response is lost, when the relay is stopped in between, when the
// client asks again.

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "tests/support/receiver.hpp"
#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

std::string body_for(const std::string& prompt) {
  return R"({"prompt":")" + prompt + R"(","model":"ray-2"})";
}

response create(const client& c, const std::string& prompt, const std::vector<std::string>& headers = {}) {
  return c.request("POST", generations, body_for(prompt), headers);
}

std::string id_of(const response& r) {
  EXPECT_EQ(r.status, 201) << r.body;
  return std::string(text_of(r.json().as_object(), "id"));
}

std::string end_of(const client& c, const std::string& id) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (;;) {
    const json::object t = c.get(generations + "/" + id).json().as_object();
    const std::string state(text_of(t, "state"));
    if (state == "completed" || state == "failed")
      return state + " " + std::string(text_of(t, "failure_reason"));
    if (std::chrono::steady_clock::now() > give_up) return "still " + state;
  }
}

// The relay's settings and the upstream's ways, the prompt, what becomes of it, and how many jobs there are
// then.
struct lost_answer {
  const char* what;
  const char* prompt;
  bool marker = true;
  bool upstream_echoes = true;
  const char* set = "prove";
  std::string end = "completed ";
  int created = 1;
  int least_posts = 1;
};

class lost_answers : public ::testing::TestWithParam<lost_answer> {};

TEST_P(lost_answers, are_looked_for) {
  const lost_answer& row = GetParam();
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.echo_callback = row.upstream_echoes;
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].first_byte_timeout = milliseconds(300);
  settings.submit.on_ambiguous = row.set;
  settings.submit.deadline = milliseconds(3'000);
  if (row.marker) settings.server.public_url = "http://127.0.0.1:9";  // nobody calls there
  running_relay relay(settings);
  const client c = relay.as("me");
  // The upstream shows that it echoes our marker, or that it does not.
  EXPECT_EQ(end_of(c, id_of(create(c, "a job that nothing happens to"))), "completed ");
  const response r = create(c, row.prompt);
  EXPECT_EQ(text_of(r.json().as_object(), "state"), "queued") << "to the client it is queued meanwhile";
  std::string end;
  {
    // Others go on: a list that shows them is known to be fresh.
    const std::jthread others([&](const std::stop_token& stop) {
      for (int i = 0; i < 1'000 && !stop.stop_requested(); ++i) end_of(c, id_of(create(c, "another job")));
    });
    end = end_of(c, id_of(r));
  }
  EXPECT_TRUE(end.starts_with(row.end)) << end;
  const json::object log = sim.log();
  int posts = 0;
  int created = 0;
  for (const json::value& entry : log.at("creates").as_array()) {
    if (text_of(entry.at("body").as_object(), "prompt") != row.prompt) continue;
    ++posts;
    created += entry.at("id").is_string();
  }
  EXPECT_EQ(created, row.created);
  EXPECT_GE(posts, row.least_posts);
  EXPECT_LE(posts, row.set == std::string("resubmit") || row.created == 0 ? 50 : 1);
}

const lost_answer lost[] = {
    {"the connection ended", "#cut"},
    {"no answer in time", "#hang"},
    {"an answer that says nothing", "#garbage"},
    {"a gateway's error", "#answer-502"},
    {"a gateway's time-out", "#answer-504"},
    {"without a marker", "#cut", false},
    {"an upstream that does not echo", "#cut", true, false},
    {"set up to fail", "#cut", true, true, "fail"},
    {"set up to submit again", "#cut", true, true, "resubmit"},
    // Nothing was created.
    {"proven absent, submitted again, lost again, until its time is over", "#drop", true, true, "prove",
     "failed The upstream's answer to the submission was lost. The time", 0, 2},
    {"not proven without a marker", "#drop", false, true, "prove",
     "failed The upstream's answer to the submission", 0},
    {"not proven by an upstream that does not echo", "#drop", true, false, "prove",
     "failed The upstream's answer to the submission", 0},
    {"never again when set up so", "#drop", true, true, "fail",
     "failed The upstream's answer to the submission", 0},
};

INSTANTIATE_TEST_SUITE_P(exactly_once, lost_answers, ::testing::ValuesIn(lost), [](const auto& info) {
  std::string name;
  for (const char ch : std::string(info.param.what)) name += std::isalnum(ch) != 0 ? ch : '_';
  return name;
});

TEST(exactly_once, an_operator_sees_what_is_lost) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.list_lag = milliseconds(600'000);  // the list shows nothing: the search goes on
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.submit.settle = milliseconds(60'000);
  settings.server.public_url = "http://127.0.0.1:9";
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string id = id_of(create(c, "#cut"));
  const client admin(relay.admin_port());
  EXPECT_NE(admin.get("/metrics").body.find("luma_relay_tasks_ambiguous 1"), std::string::npos);
  const json::value listed = relay.admin("GET", "/jobs?state=ambiguous").json();
  EXPECT_EQ(listed.at("items").as_array().at(0).as_object().at("id"), json::string(id));
  EXPECT_EQ(text_of(c.get(generations + "/" + id).json().as_object(), "state"), "queued");
}

TEST(exactly_once, a_job_that_the_list_shows_late_is_not_submitted_again) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.list_lag = milliseconds(200);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "http://127.0.0.1:9";
  running_relay relay(settings);
  const client c = relay.as("me");
  EXPECT_EQ(end_of(c, id_of(create(c, "a job that shows that markers are echoed"))), "completed ");
  EXPECT_EQ(end_of(c, id_of(create(c, "#cut"))), "completed ");
  EXPECT_EQ(sim.created(), 2);
}

TEST(exactly_once, two_equal_jobs_whose_responses_are_lost_do_not_take_each_others) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "http://127.0.0.1:9";
  running_relay relay(settings);
  const client c = relay.as("me");
  EXPECT_EQ(end_of(c, id_of(create(c, "a job that shows that markers are echoed"))), "completed ");
  const std::string a = id_of(create(c, "#cut twice"));
  const std::string b = id_of(create(c, "#cut twice"));
  EXPECT_EQ(end_of(c, a), "completed ");
  EXPECT_EQ(end_of(c, b), "completed ");
  EXPECT_EQ(sim.created(), 3);
  const auto upstream_id = [&](const std::string& id) {
    return std::string(text_of(relay.admin("GET", "/jobs/" + id).json().as_object(), "upstream_id"));
  };
  EXPECT_NE(upstream_id(a), upstream_id(b));
}

TEST(exactly_once, the_upstreams_callback_ends_the_search) {
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(50);
  o.dreams_for = milliseconds(1'000);
  running_simulator sim(o);
  receiver hook;
  config settings = test_config(dir, sim.url());
  settings.submit.settle =
      milliseconds(600'000);  // then it looks after two seconds by itself: too late to see it dream
  settings.server.listen = "127.0.0.1:0";
  std::string token;
  // The relay's own address is known only when it listens: the simulator calls a gate that leads there.
  std::uint16_t port = 0;
  {
    running_relay first(settings);
    token = first.token("me");
    port = first.port();
  }
  settings.server.listen = "127.0.0.1:" + std::to_string(port);
  settings.server.public_url = "http://127.0.0.1:" + std::to_string(port);
  running_relay relay(settings);
  const client c(relay.port(), "Bearer " + token);
  id_of(c.post(generations, R"({"prompt":"#cut","callback_url":")" + hook.url() + R"("})"));
  EXPECT_EQ(hook.wait_for(1).at(0).state(), "dreaming");
}

TEST(callbacks_in, only_the_right_secret_is_a_hint_and_it_is_no_more) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "http://127.0.0.1:9";
  settings.poll.interval = milliseconds(3'600'000);  // nothing moves by itself
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string id = id_of(create(c, "a job"));
  const std::string told(
      text_of(sim.log().at("creates").as_array().at(0).at("body").as_object(), "callback_url"));
  const std::string path = told.substr(std::string("http://127.0.0.1:9").size());
  ASSERT_TRUE(path.starts_with("/callbacks/" + id + "/")) << path;
  const client anybody = relay.as_nobody();
  for (const std::string& wrong :
       {path + "0", path.substr(0, path.size() - 1), "/callbacks/" + id + "/", "/callbacks/" + id + "/x",
        "/callbacks/00000000-0000-7000-8000-000000000000/" + path.substr(path.rfind('/') + 1)}) {
    EXPECT_EQ(anybody.post(wrong, R"({"state":"completed"})").status, 404) << wrong;
  }
  EXPECT_EQ(text_of(c.get(generations + "/" + id).json().as_object(), "state"), "queued");
  // Whatever it says, the upstream is asked.
  EXPECT_EQ(anybody.post(path, R"({"state":"failed","failure_reason":"a lie"})").status, 200);
  EXPECT_TRUE(relay.wait_until([&] { return !sim.log().at("polls").as_object().empty(); }));
  EXPECT_EQ(sim.log().at("polls").as_object().size(), 1u);
  EXPECT_NE(text_of(c.get(generations + "/" + id).json().as_object(), "state"), "failed");
  EXPECT_NE(relay.admin("GET", "/jobs/" + id).body.find("\"upstream sim called about it\""),
            std::string::npos);
  // Every further one is a poll, until the job has ended.
  const auto state = [&] {
    return std::string(text_of(c.get(generations + "/" + id).json().as_object(), "state"));
  };
  EXPECT_TRUE(relay.wait_until([&] {
    anybody.post(path, "");
    return state() == "completed";
  }));
}

TEST(callbacks_in, one_that_comes_during_a_poll_is_another_poll) {
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate(sim.port());
  config settings = test_config(dir, gate.url());
  settings.server.public_url = "http://127.0.0.1:9";
  settings.poll.interval = milliseconds(3'600'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string id = id_of(create(c, "a job"));
  const std::string url(
      text_of(sim.log().at("creates").as_array().at(0).at("body").as_object(), "callback_url"));
  const std::string path = url.substr(url.find("/callbacks/"));
  const auto story = [&] { return json::serialize(relay.admin("GET", "/jobs/" + id).json().at("story")); };
  // The poll has no response yet.
  gate.hold();
  gate.cut_all();
  EXPECT_EQ(relay.as_nobody().post(path, "").status, 200);
  ASSERT_TRUE(relay.wait_until([&] { return story().contains("called about it"); }));
  EXPECT_EQ(relay.as_nobody().post(path, "").status, 200);
  gate.let_through();
  EXPECT_TRUE(relay.wait_until([&] { return story().contains("called about it (2 times"); })) << story();
}

TEST(idempotency, a_key_creates_one_job) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client me = relay.as("me");
  const client you = relay.as("you");
  const std::vector<std::string> key{"Idempotency-Key: 8e03978e-40d5-43dd-bc93-6894a57f9324"};
  const response first = create(me, "a cat", key);
  EXPECT_EQ(first.header("idempotent-replayed"), "");
  EXPECT_EQ(end_of(me, id_of(first)), "completed ");
  const response again = create(me, "a cat", key);
  EXPECT_EQ(again.status, 201);
  EXPECT_EQ(again.body, first.body) << "the same answer, whatever has happened since";
  EXPECT_EQ(again.header("idempotent-replayed"), "true");
  // As a structured field's string.
  EXPECT_EQ(create(me, "a cat", {"Idempotency-Key: \"8e03978e-40d5-43dd-bc93-6894a57f9324\""}).body,
            first.body);

  const response other = create(me, "a dog", key);
  EXPECT_EQ(other.status, 422);
  EXPECT_NE(other.body.find("Idempotency-Key: this key was used with another request"), std::string::npos);
  EXPECT_EQ(other.header("x-should-retry"), "false");
  EXPECT_NE(id_of(create(you, "a cat", key)), id_of(first)) << "keys are each token's own";
  EXPECT_EQ(me.request("POST", "/luma/generations", body_for("a cat"), key).status, 422) << "another path";
  for (const std::string& bad :
       {std::string("Idempotency-Key: "), "Idempotency-Key: " + std::string(256, 'k'),
        std::string("Idempotency-Key: \"\""), std::string("Idempotency-Key: k\xc3\xa9")}) {
    EXPECT_EQ(create(me, "a cat", {bad}).status, 400) << bad;
  }
  EXPECT_EQ(create(me, "a cat", {"Idempotency-Key: a", "Idempotency-Key: b"}).status, 400);
  EXPECT_EQ(sim.created(), 2);
}

TEST(idempotency, a_refusal_is_replayed_too) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::vector<std::string> key{"Idempotency-Key: k"};
  const response first = create(c, "#refuse-400", key);
  EXPECT_EQ(first.status, 400);
  const response again = create(c, "#refuse-400", key);
  EXPECT_EQ(again.status, 400);
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(again.header("idempotent-replayed"), "true");
  EXPECT_EQ(sim.log().at("refused"), 1);
}

TEST(idempotency, a_key_outlives_the_process) {
  temp_dir dir;
  running_simulator sim;
  const config settings = test_config(dir, sim.url());
  const std::vector<std::string> key{"Idempotency-Key: k"};
  std::string token, id;
  {
    running_relay relay(settings);
    token = relay.token("me");
    id = id_of(create(client(relay.port(), token), "a cat", key));
  }
  running_relay relay(settings);
  EXPECT_EQ(id_of(create(client(relay.port(), token), "a cat", key)), id);
  EXPECT_EQ(sim.created(), 1);
}

// Copies of a create at the same moment: the second waits for the first.
TEST(idempotency, a_thousand_keys_twenty_times_each) {
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(3'600'000);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.poll.interval = milliseconds(3'600'000);
  running_relay relay(settings);
  const std::string token = relay.token("me");
  constexpr int keys = 1'000;
  constexpr int copies = 20;
  std::vector<std::vector<std::string>> ids(copies);
  {
    std::vector<std::jthread> threads;
    for (int copy = 0; copy < copies; ++copy) {
      threads.emplace_back([&, copy] {
        connection conn(relay.port());
        for (int k = 0; k < keys; ++k) {
          const std::string body = body_for("job " + std::to_string(k));
          conn.send("POST " + generations + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token +
                    "\r\nIdempotency-Key: k" + std::to_string(k) +
                    "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
          const response r = conn.receive();
          ids[static_cast<std::size_t>(copy)].push_back(
              r.status == 201 ? std::string(text_of(r.json().as_object(), "id")) : r.body);
        }
      });
    }
  }
  for (int copy = 1; copy < copies; ++copy) EXPECT_EQ(ids[static_cast<std::size_t>(copy)], ids[0]);
  EXPECT_EQ((std::set<std::string>(ids[0].begin(), ids[0].end()).size()), static_cast<std::size_t>(keys));
  EXPECT_EQ(sim.created(), keys);
}

// Rule M12: the first send was refused, so its retry is no retry of an older job of the same text.
TEST(idempotency, the_retry_of_a_refused_send_is_a_job_of_its_own) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.when_busy = "reject";
  settings.upstreams[0].max_concurrent = 1;
  settings.poll.interval = milliseconds(600'000);  // the first job keeps its place until the upstream calls
  settings.server.public_url = "http://127.0.0.1:9";
  running_relay relay(settings);
  const client c = relay.as("me");
  const auto send = [&](const char* count) {
    return create(c, "a cat", {"x-stainless-retry-count: " + std::string(count)});
  };
  const std::string older = id_of(send("0"));
  EXPECT_EQ(send("0").status, 503);
  const json::object log = sim.log();
  const json::object& sent = log.at("creates").as_array().at(0).at("body").as_object();
  const std::string url(text_of(sent, "callback_url"));
  const auto completed = [&] {
    relay.as_nobody().post(url.substr(url.find("/callbacks/")), "{}");
    return text_of(c.get(generations + "/" + older).json().as_object(), "state") == "completed";
  };
  ASSERT_TRUE(relay.wait_until(completed));

  const std::string own = id_of(send("1"));
  EXPECT_NE(own, older);
  EXPECT_EQ(id_of(send("2")), own) << "and a retry of that one is that one";
  EXPECT_EQ(sim.created(), 2);
}

TEST(idempotency, an_sdks_own_retry_is_the_same_job) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const auto send = [&](const char* count, const std::string& prompt = "a cat") {
    return create(c, prompt, {"x-stainless-retry-count: " + std::string(count)});
  };
  const std::string first = id_of(send("0"));
  const response retry = send("1");
  EXPECT_EQ(id_of(retry), first);
  EXPECT_EQ(retry.header("idempotent-replayed"), "true");
  EXPECT_EQ(id_of(send("2")), first);
  EXPECT_NE(id_of(send("0")), first) << "a new one, meant as such";
  EXPECT_NE(id_of(send("1", "a dog")), first);
  EXPECT_NE(id_of(create(c, "a cat")), first) << "no counter: no SDK";
  EXPECT_NE(id_of(send("x")), first);
  EXPECT_EQ(sim.created(), 5);
}

}  // namespace
}  // namespace relay::test
