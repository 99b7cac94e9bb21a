// Jobs that build on another one: upscale and audio. The id in the path is ours, is translated, and pins the
// job to the upstream that has the other.

#include <gtest/gtest.h>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

std::string id_in(const response& r) {
  return std::string(text_of(r.json().as_object(), "id"));
}

std::string upstream_id_of(running_relay& relay, const std::string& id) {
  return std::string(text_of(relay.admin("GET", "/jobs/" + id).json().as_object(), "upstream_id"));
}

// Two upstreams: what is built on a job must go where that job is.
config two_upstreams(const temp_dir& dir, const std::string& first, const std::string& second) {
  config settings = test_config(dir, first);
  upstream_config other = settings.upstreams[0];
  other.name = "other";
  other.url = second;
  other.base = *parse_base_url(second);
  settings.upstreams.push_back(other);
  return settings;
}

TEST(derived, upscale_and_audio_end_to_end) {
  temp_dir dir;
  running_simulator first, second;
  config settings = two_upstreams(dir, first.url(), second.url());
  settings.upstreams[0].max_concurrent = 1;  // so that the second job is at the other upstream
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string here = id_in(c.post(generations, R"({"prompt":"the first"})"));
  const std::string there = id_in(c.post(generations, R"({"prompt":"the second"})"));
  wait_for_state(c, generations + "/" + here, "completed");
  wait_for_state(c, generations + "/" + there, "completed");

  const response up = c.post(generations + "/" + there + "/upscale", R"({"resolution":"4k"})");
  ASSERT_EQ(up.status, 201) << up.body;
  EXPECT_EQ(up.json().at("state"), "queued");
  EXPECT_EQ(up.json().at("request").at("generation_type"), "upscale_video");
  EXPECT_EQ(up.json().at("request").at("resolution"), "4k");
  const response audio =
      c.post(generations + "/" + there + "/audio", R"({"prompt":"rain","negative_prompt":"wind"})");
  ASSERT_EQ(audio.status, 201) << audio.body;
  EXPECT_EQ(audio.json().at("request").at("generation_type"), "add_audio");

  const response done = wait_for_state(c, generations + "/" + id_in(up), "completed");
  EXPECT_TRUE(done.json().at("assets").at("video").is_string());
  wait_for_state(c, generations + "/" + id_in(audio), "completed");

  // Both went to the other upstream, under its own id for the job.
  EXPECT_EQ(first.created(), 1);
  EXPECT_EQ(second.created(), 3);
  const json::array creates = second.log().at("creates").as_array();
  const std::string theirs = upstream_id_of(relay, there);
  EXPECT_EQ(text_of(creates.at(1).as_object(), "path"),
            "/dream-machine/v1/generations/" + theirs + "/upscale");
  EXPECT_EQ(creates.at(1).at("body"), parse_lenient(R"({"resolution":"4k"})").value());
  EXPECT_EQ(text_of(creates.at(2).as_object(), "path"), "/dream-machine/v1/generations/" + theirs + "/audio");

  // In the envelope they are what they are.
  const response batch =
      c.post("/luma/tasks", R"({"ids":[")" + id_in(up) + R"(",")" + id_in(audio) + R"("]})");
  EXPECT_EQ(batch.json().at("data").at(0).at("action"), "LUMA_UPSCALE");
  EXPECT_EQ(batch.json().at("data").at(1).at("action"), "LUMA_AUDIO");
}

TEST(derived, what_they_build_on_must_be_there) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client me = relay.as("me");
  const client other = relay.as("other");
  const std::string mine = id_in(me.post(generations, R"({"prompt":"mine"})"));
  wait_for_state(me, generations + "/" + mine, "completed");
  const struct {
    const char* what;
    const client& who;
    std::string path;
    std::string body;
    int status;
    const char* says;
  } table[] = {
      {"unknown", me, "/01936e4f-a1b2-7fff-bfff-ffffffffffff/upscale", "{}", 404, "Generation not found"},
      {"another's", other, "/" + mine + "/upscale", "{}", 404, "Generation not found"},
      {"no id at all", me, "/x/audio", "{}", 404, "Generation not found"},
      {"no body", me, "/" + mine + "/upscale", "", 400, "not valid JSON"},
      {"no object", me, "/" + mine + "/audio", "[]", 422, "JSON object"},
      {"a wrong type", me, "/" + mine + "/upscale", R"({"resolution":4})", 422,
       "resolution: Input should be a valid string"},
      {"wrong method", me, "/" + mine + "/upscale", "GET", 405, "allowed: POST"},
  };
  for (const auto& row : table) {
    const response r = row.status == 405 ? row.who.get(generations + row.path)
                                         : row.who.post(generations + row.path, row.body);
    EXPECT_EQ(r.status, row.status) << row.what << ": " << r.body;
    EXPECT_NE(r.body.find(row.says), std::string::npos) << row.what << ": " << r.body;
  }
  EXPECT_EQ(sim.created(), 1);
}

// A station's job cannot be upscaled: the client hears of it at once, not after the submit deadline.
TEST(derived, an_upstream_that_cannot_do_it_is_an_error_at_once) {
  temp_dir dir;
  sim::options o = running_simulator::stepping();
  o.protocol = "station";
  running_simulator station(o);
  config settings = test_config(dir, station.url());
  settings.upstreams[0].protocol = "station";
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string id = id_in(c.post(generations, R"({"prompt":"at a station"})"));
  wait_for_state(c, generations + "/" + id, "completed");
  const response r = c.post(generations + "/" + id + "/upscale", "{}");
  EXPECT_EQ(r.status, 400) << r.body;
  EXPECT_NE(r.body.find("cannot do this"), std::string::npos) << r.body;
  EXPECT_EQ(station.created(), 1);
}

// The answer to an upscale is lost. Its echo does not name what it was made from: two equal ones of the same
// minute are told apart by their markers, and by nothing else.
TEST(derived, a_lost_one_is_found_by_its_marker) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "https://relay.example.com";
  settings.server.submit_wait = milliseconds(200);
  running_relay relay(settings);
  const client c = relay.as("me");
  std::vector<std::string> bases;
  for (const char* prompt : {"one", "two"}) {
    bases.push_back(id_in(c.post(generations, R"({"prompt":")" + std::string(prompt) + R"("})")));
    wait_for_state(c, generations + "/" + bases.back(), "completed");
  }
  std::vector<std::string> ups;
  for (const std::string& base : bases)
    ups.push_back(id_in(c.post(generations + "/" + base + "/upscale", R"({"resolution":"4k #cut"})")));
  for (const std::string& id : ups) wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_EQ(sim.created(), 4) << "each was submitted once";
  // Each follows the job that was made from its own base.
  const json::array creates = sim.log().at("creates").as_array();
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string theirs = upstream_id_of(relay, bases[i]);
    const auto made = std::ranges::find_if(creates, [&](const json::value& e) {
      return text_of(e.as_object(), "path") == "/dream-machine/v1/generations/" + theirs + "/upscale";
    });
    ASSERT_NE(made, creates.end());
    EXPECT_EQ(upstream_id_of(relay, ups[i]), text_of(made->as_object(), "id"));
  }
}

// Without a marker nothing tells them apart: it fails and says why, and is not submitted again.
TEST(derived, a_lost_one_without_a_marker_is_not_guessed) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.submit_wait = milliseconds(200);
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string base = id_in(c.post(generations, R"({"prompt":"one"})"));
  wait_for_state(c, generations + "/" + base, "completed");
  const std::string up = id_in(c.post(generations + "/" + base + "/upscale", R"({"resolution":"4k #cut"})"));
  const response failed = wait_for_state(c, generations + "/" + up, "failed");
  EXPECT_NE(failed.body.find("nothing proves that it was not created"), std::string::npos) << failed.body;
  EXPECT_EQ(sim.created(), 2);
}

}  // namespace
}  // namespace relay::test
