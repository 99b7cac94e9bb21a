// The links of a result work for a time only: read after it, the upstream is asked for others, once for all.

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

// Completed, and not read yet.
std::string completed_job(running_relay& relay, const client& c) {
  const response made = c.post(generations, R"({"prompt":"abc"})");
  const std::string id(text_of(made.json().as_object(), "id"));
  EXPECT_TRUE(relay.wait_until(
      [&] { return text_of(relay.admin("GET", "/jobs/" + id).json().as_object(), "state") == "completed"; }));
  return id;
}

std::string video_of(const response& r) {
  return std::string(view(r.json().at("assets").at("video").as_string()));
}

class links : public ::testing::Test {
 protected:
  // Less than half a minute is as good as ended: a client needs some time with a link.
  static sim::options ending(int seconds) {
    sim::options o = running_simulator::stepping();
    o.links_for = std::chrono::seconds(seconds);
    return o;
  }
  static std::int64_t polls(const running_simulator& sim) {
    std::int64_t n = 0;
    for (const auto& p : sim.log().at("polls").as_object()) n += p.value().as_int64();
    return n;
  }

  temp_dir dir;
};

TEST_F(links, that_work_for_long_are_not_asked_for) {
  running_simulator sim(ending(3'600));
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string id = completed_job(relay, c);
  const std::int64_t before = polls(sim);
  const std::string video = video_of(c.get(generations + "/" + id));
  EXPECT_NE(video.find("X-Amz-Expires=3600"), std::string::npos) << video;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(video_of(c.get(generations + "/" + id)), video);
  EXPECT_EQ(polls(sim), before);
}

TEST_F(links, that_ended_are_asked_for_once_for_all_readers_and_saved) {
  running_simulator sim(ending(10));
  tcp_gate gate(sim.port());
  const config settings = test_config(dir, gate.url());
  std::string token, id, fresh;
  {
    running_relay relay(settings);
    token = relay.token("me");
    const client c(relay.port(), "Bearer " + token);
    id = completed_job(relay, c);
    const std::int64_t before = polls(sim);
    gate.hold();  // the question waits
    gate.cut_all();
    std::vector<std::jthread> readers;
    std::atomic<int> read = 0;
    for (int i = 0; i < 8; ++i)
      readers.emplace_back([&] { read += c.get(generations + "/" + id).status == 200; });
    gate.wait_for_connection();
    gate.let_through();
    readers.clear();
    EXPECT_EQ(read, 8);
    fresh = video_of(c.get(generations + "/" + id));
    EXPECT_EQ(polls(sim), before + 1) << "one question for all of them";
    EXPECT_NE(fresh.find("X-Amz-Expires=3600"), std::string::npos) << fresh;
  }
  running_relay relay(settings);
  const client c(relay.port(), "Bearer " + token);
  EXPECT_EQ(video_of(c.get(generations + "/" + id)), fresh) << "it was saved";
  const response batch = c.post("/luma/tasks", R"({"ids":[")" + id + R"("]})");
  EXPECT_NE(batch.body.find(fresh.substr(fresh.find("X-Amz-Date"))), std::string::npos) << batch.body;
}

TEST_F(links, a_batch_asks_for_all_of_them) {
  running_simulator sim(ending(10));
  const config settings = test_config(dir, sim.url());
  std::string token, ids;
  {
    running_relay relay(settings);
    token = relay.token("me");
    const client c(relay.port(), "Bearer " + token);
    for (int i = 0; i < 5; ++i) ids += (i > 0 ? ",\"" : "\"") + completed_job(relay, c) + "\"";
  }
  running_relay relay(settings);
  const client c(relay.port(), "Bearer " + token);
  const std::int64_t before = polls(sim);
  const response batch = c.post("/luma/tasks", "{\"ids\":[" + ids + "]}");
  EXPECT_EQ(batch.json().at("data").as_array().size(), 5u);
  EXPECT_EQ(polls(sim), before + 5);
}

TEST_F(links, questions_count_as_polls) {
  running_simulator sim(ending(10));
  config settings = test_config(dir, sim.url());
  std::string token, ids;
  {
    running_relay relay(settings);
    token = relay.token("me");
    const client c(relay.port(), "Bearer " + token);
    for (int i = 0; i < 3; ++i) ids += (i > 0 ? ",\"" : "\"") + completed_job(relay, c) + "\"";
  }
  settings.upstreams[0].polls_per_second = 2;  // one at once
  running_relay relay(settings);
  const client c(relay.port(), "Bearer " + token);
  const std::int64_t before = polls(sim);
  const auto read = [&] { return c.post("/luma/tasks", "{\"ids\":[" + ids + "]}").json().at("data"); };
  EXPECT_EQ(read().as_array().size(), 3u) << "those that must wait are shown as they are";
  EXPECT_EQ(polls(sim), before + 1);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const auto old_ones = [&] { return json::serialize(read()).contains("X-Amz-Expires=10&"); };
  while (old_ones() && std::chrono::steady_clock::now() < give_up) {
  }
  EXPECT_FALSE(old_ones());
  EXPECT_EQ(polls(sim), before + 3);
}

TEST_F(links, of_a_job_that_the_upstream_has_forgotten_stay_and_say_so) {
  running_simulator sim(ending(10));
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string id = completed_job(relay, c);
  sim.forget_jobs(sim::simulator::amnesia::polls);
  const response r = c.get(generations + "/" + id);
  EXPECT_EQ(r.status, 200);
  EXPECT_FALSE(video_of(r).empty());
  EXPECT_NE(r.header("warning").find("The links of this result have ended"), std::string::npos);
  const std::int64_t before = polls(sim);
  EXPECT_NE(c.get(generations + "/" + id).header("warning"), "");
  EXPECT_EQ(polls(sim), before) << "it is not asked again at once";
}

TEST_F(links, an_upstream_that_is_down_holds_no_reader_up) {
  running_simulator sim(ending(10));
  tcp_gate gate(sim.port());
  running_relay relay(test_config(dir, gate.url()));
  const client c = relay.as("me");
  const std::string id = completed_job(relay, c);
  gate.refuse_new();
  gate.cut_all();
  const response r = c.get(generations + "/" + id);
  EXPECT_EQ(r.status, 200);
  EXPECT_FALSE(video_of(r).empty());
  EXPECT_NE(r.header("warning"), "");
}

}  // namespace
}  // namespace relay::test
