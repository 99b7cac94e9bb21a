// Every client dialect, every kind of job, every protocol of an upstream: it comes to its end and is shown as
// the dialect has it, or it is refused at the door and nothing was submitted. And relays behind relays.

#include <gtest/gtest.h>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

struct asked {
  const char* action;
  const char* path;  // "{id}": of a video that is completed
  const char* body;
};
// In the official dialect.
const asked official[] = {
    {"generations", "/dream-machine/v1/generations", R"({"prompt":"a cat"})"},
    {"generations from a picture", "/dream-machine/v1/generations",
     R"({"prompt":"a cat","keyframes":{"frame0":{"type":"image","url":"https://e.x/a.jpg"}}})"},
    {"generations that go on from one", "/dream-machine/v1/generations",
     R"({"prompt":"a cat","keyframes":{"frame0":{"type":"generation","id":"{id}"}}})"},
    {"generations of nine seconds", "/dream-machine/v1/generations", R"({"prompt":"a cat","duration":"9s"})"},
    {"video", "/dream-machine/v1/generations/video",
     R"({"prompt":"a cat","resolution":"720p","duration":"5s"})"},
    {"image", "/dream-machine/v1/generations/image", R"({"prompt":"a cat"})"},
    {"image of another", "/dream-machine/v1/generations/image",
     R"({"prompt":"a cat","modify_image_ref":{"url":"https://e.x/a.jpg","weight":1}})"},
    {"image-reframe", "/dream-machine/v1/generations/image/reframe",
     R"({"model":"photon-1","aspect_ratio":"1:1","media":{"url":"https://e.x/a.jpg"}})"},
    {"video-reframe", "/dream-machine/v1/generations/video/reframe",
     R"({"prompt":"wider","aspect_ratio":"21:9","media":{"url":"https://e.x/a.mp4"}})"},
    {"video-modify", "/dream-machine/v1/generations/video/modify",
     R"({"prompt":"in oil","mode":"flex_1","media":{"url":"https://e.x/a.mp4"}})"},
    {"upscale", "/dream-machine/v1/generations/{id}/upscale", R"({"resolution":"1080p"})"},
    {"audio", "/dream-machine/v1/generations/{id}/audio", R"({"prompt":"rain"})"},
};
// In the web app's.
const asked web_app[] = {
    {"generations", "/luma/generations", R"({"user_prompt":"a cat"})"},
    {"generations from a picture", "/luma/generations",
     R"({"user_prompt":"a cat","image_url":"https://e.x/a.jpg"})"},
    {"generations that go on from one", "/luma/generations/{id}/extend", R"({"user_prompt":"a cat"})"},
    {"generations of nine seconds", "/luma/generations", R"({"user_prompt":"a cat","duration":"9s"})"},
};
// What a protocol cannot do, with a word of the reason.
const std::map<std::string, std::map<std::string, std::string>> refused = {
    {"luma", {}},
    {"station",
     {{"image", "stations do not offer image"},
      {"image of another", "stations do not offer image"},
      {"image-reframe", "stations do not offer"},
      {"video-reframe", "stations do not offer"},
      {"video-modify", "stations do not offer"},
      {"upscale", "cannot do this with it"},
      {"audio", "cannot do this with it"}}},
    {"agents",
     {{"generations of nine seconds", "duration: must be 5s or 10s, not 9s"},
      {"image-reframe", "image-reframe is not offered"},
      {"upscale", "cannot do this with it"},
      {"audio", "cannot do this with it"}}},
};

config settings_for(const temp_dir& dir, const std::string& url, const std::string& protocol) {
  config c = test_config(dir, url);
  c.upstreams[0].protocol = protocol;
  if (protocol == "agents") c.upstreams[0].names.aliases = {{"ray-2", "ray-3.2"}, {"photon-1", "uni-1"}};
  c.upstreams[0].names.defaults = {{"image", "photon-1"}};
  return c;
}

std::string with_id(std::string text, const std::string& id) {
  if (const auto at = text.find("{id}"); at != std::string::npos) text.replace(at, 4, id);
  return text;
}

// The task as each dialect shows it; what they all must say.
void check_shown(const client& c, const std::string& id, bool is_video, const std::string& where) {
  const json::object o = c.get("/dream-machine/v1/generations/" + id).json().as_object();
  EXPECT_EQ(text_of(o, "state"), "completed") << where;
  const json::object& assets = o.at("assets").as_object();
  EXPECT_TRUE(assets.at(is_video ? "video" : "image").is_string()) << where << json::serialize(o);
  const json::object w = c.get("/luma/generations/" + id).json().as_object();
  EXPECT_EQ(text_of(w, "state"), "completed") << where;
  if (is_video) EXPECT_TRUE(w.at("video").at("download_url").is_string()) << where << json::serialize(w);
  const json::object b = c.post("/luma/tasks", R"({"ids":[")" + id + R"("]})").json().as_object();
  EXPECT_EQ(b.at("data").at(0).at("status"), "SUCCESS") << where;
}

class matrix : public ::testing::TestWithParam<const char*> {};

TEST_P(matrix, every_cell_ends_or_is_refused_at_the_door) {
  const std::string protocol = GetParam();
  temp_dir dir;
  sim::options o = running_simulator::stepping();
  o.protocol = protocol;
  running_simulator sim(o);
  running_relay relay(settings_for(dir, sim.url(), protocol));
  const client c = relay.as("me");
  const response first = c.post("/dream-machine/v1/generations", R"({"prompt":"what others build on"})");
  ASSERT_EQ(first.status, 201) << first.body;
  const std::string base(text_of(first.json().as_object(), "id"));
  wait_for_state(c, "/dream-machine/v1/generations/" + base, "completed");
  std::int64_t created = 1;
  const auto ask = [&](const asked& a, const char* dialect) {
    const std::string where = std::string(dialect) + " × " + a.action + " × " + protocol + ": ";
    const response r = c.post(with_id(a.path, base), with_id(a.body, base));
    const auto& never = refused.at(protocol);
    if (const auto found = never.find(a.action); found != never.end()) {
      EXPECT_EQ(r.status, 400) << where << r.body;
      EXPECT_NE(r.body.find(found->second), std::string::npos) << where << r.body;
    } else {
      ASSERT_EQ(r.status, 201) << where << r.body;
      const std::string id(text_of(r.json().as_object(), "id"));
      wait_for_state(c, "/dream-machine/v1/generations/" + id, "completed");
      check_shown(c, id, !std::string_view(a.action).starts_with("image"), where);
      ++created;
    }
    EXPECT_EQ(sim.created(), created) << where;
  };
  for (const asked& a : official) ask(a, "official");
  for (const asked& a : web_app) ask(a, "web app");
  EXPECT_EQ(sim.log().at("refused"), 0) << "what the upstream would refuse is not sent there";
}
INSTANTIATE_TEST_SUITE_P(protocols, matrix, ::testing::Values("luma", "station", "agents"),
                         [](const auto& i) { return std::string(i.param); });

TEST(agents, requests_in_its_own_words) {
  temp_dir dir;
  sim::options o = running_simulator::stepping();
  o.protocol = "agents";
  running_simulator sim(o);
  running_relay relay(settings_for(dir, sim.url(), "agents"));
  const client c = relay.as("me");
  struct {
    const char *path, *body, *sent;
  } const table[] = {
      {"/generations",
       R"({"prompt":"a cat","duration":"10s","resolution":"1080p","callback_url":"https://e.x/h"})",
       R"({"type":"video","model":"ray-3.2","prompt":"a cat","aspect_ratio":"16:9","video":{"duration":"10s","resolution":"1080p"}})"},
      {"/generations",
       R"({"prompt":"a cat","loop":true,"aspect_ratio":"1:1","keyframes":{"frame0":{"type":"image","url":"https://e.x/a.jpg"}}})",
       R"({"type":"video","model":"ray-3.2","prompt":"a cat","aspect_ratio":"1:1","video":{"start_frame":{"url":"https://e.x/a.jpg"},"loop":true}})"},
      {"/generations/image",
       R"({"prompt":"a cat","format":"jpg","image_ref":[{"url":"https://e.x/a.jpg","weight":0.8}],"web_search":true})",
       R"({"type":"image","model":"uni-1","prompt":"a cat","aspect_ratio":"16:9","web_search":true,"image_ref":[{"url":"https://e.x/a.jpg"}],"output_format":"jpeg"})"},
      {"/generations/image",
       R"({"prompt":"a cat","model":"uni-1-max","modify_image_ref":{"url":"https://e.x/a.jpg"}})",
       R"({"type":"image_edit","model":"uni-1-max","prompt":"a cat","aspect_ratio":"16:9","source":{"url":"https://e.x/a.jpg"}})"},
      {"/generations/video/modify",
       R"({"prompt":"in oil","mode":"reimagine_2","model":"ray-2","media":{"url":"https://e.x/a.mov?x=1"},"first_frame":{"url":"https://e.x/f.jpg"}})",
       R"({"type":"video_edit","model":"ray-3.2","prompt":"in oil","source":{"url":"https://e.x/a.mov?x=1","media_type":"video/quicktime"},"video":{"edit":{"strength":"reimagine_2"},"start_frame":{"url":"https://e.x/f.jpg"}}})"},
      {"/generations/video/reframe",
       R"({"prompt":"wider","aspect_ratio":"21:9","media":{"url":"https://e.x/a.mp4"}})",
       R"({"type":"video_reframe","model":"ray-3.2","prompt":"wider","aspect_ratio":"21:9","source":{"url":"https://e.x/a.mp4","media_type":"video/mp4"}})"},
  };
  for (const auto& row : table) {
    const response r = c.post("/dream-machine/v1" + std::string(row.path), row.body);
    EXPECT_EQ(r.status, 201) << row.body << r.body;
    const json::array creates = sim.log().at("creates").as_array();
    EXPECT_EQ(creates.back().at("body"), parse_lenient(row.sent).value()) << row.body;
    EXPECT_EQ(creates.back().at("path"), "/v1/generations");
  }
  const struct {
    const char *path, *body, *why;
  } never[] = {
      {"/generations", R"({"prompt":"a cat","model":"ray-1-6"})",
       "model: ray-1-6 is not offered for video, ray-3.2 is"},
      {"/generations", R"({"prompt":"a cat","resolution":"4k"})",
       "resolution: must be 360p, 540p, 720p or 1080p, not 4k"},
      {"/generations", R"({"prompt":"a cat","aspect_ratio":"9:21"})", "aspect_ratio: must be 9:16"},
      {"/generations", R"({"prompt":"a cat","concepts":[{"key":"orbit_left"}]})", "concepts: is not offered"},
      {"/generations", R"({"keyframes":{"frame0":{"type":"image","url":"https://e.x/a.jpg"}}})",
       "prompt: is required for video"},
      {"/generations",
       R"({"prompt":"a cat","duration":"10s","keyframes":{"frame0":{"type":"image","url":"https://e.x/a.jpg"}}})",
       "duration: must be 5s with keyframes"},
      {"/generations", R"({"prompt":"a cat","duration":"10s","loop":true})",
       "duration: must be 5s with loop"},
      {"/generations/image", R"({"prompt":"a cat","style_ref":[{"url":"https://e.x/a.jpg"}]})",
       "style_ref: is not offered"},
      {"/generations/image", R"({"prompt":"a cat","aspect_ratio":"4:3"})", "aspect_ratio: must be"},
      {"/generations/video/reframe",
       R"({"prompt":"wider","aspect_ratio":"21:9","x_start":3,"media":{"url":"https://e.x/a.mp4"}})",
       "x_start: is not offered"},
  };
  for (const auto& row : never) {
    const response r = c.post("/dream-machine/v1" + std::string(row.path), row.body);
    EXPECT_EQ(r.status, 400) << row.body << r.body;
    EXPECT_NE(r.body.find(row.why), std::string::npos) << row.body << r.body;
  }
  EXPECT_EQ(sim.created(), static_cast<std::int64_t>(std::size(table)));
}

TEST(agents, a_failure_has_the_upstreams_words_and_a_lost_answer_is_not_submitted_again) {
  temp_dir dir;
  sim::options o = running_simulator::stepping();
  o.protocol = "agents";
  running_simulator sim(o);
  config settings = settings_for(dir, sim.url(), "agents");
  settings.server.public_url = "http://127.0.0.1:9";  // this upstream is given no address all the same
  running_relay relay(settings);
  const client c = relay.as("me");
  const auto failed = [&](const char* prompt) {
    const response r =
        c.post("/dream-machine/v1/generations", R"({"prompt":")" + std::string(prompt) + R"("})");
    const std::string id(text_of(r.json().as_object(), "id"));
    return wait_for_state(c, "/dream-machine/v1/generations/" + id, "failed").json().as_object();
  };
  EXPECT_EQ(text_of(failed("#moderated"), "failure_reason"),
            "Advanced prompt moderation failed (content_moderated)");
  EXPECT_EQ(text_of(failed("#fail"), "failure_reason"), "Job failed (generation_failed)");
  const std::int64_t created = sim.created();
  const json::object lost = failed("#cut");
  EXPECT_NE(text_of(lost, "failure_reason").find("no list in which the job could be looked for"),
            std::string_view::npos)
      << json::serialize(lost);
  EXPECT_EQ(sim.created(), created + 1) << "created there, and not once more";
}

TEST(stations, their_replies_are_understood) {
  // Of a create, and of what a poll shows at the end.
  struct {
    const char *what, *created, *completed;
  } const table[] = {
      {"feiai",
       R"({"id":"u1","prompt":"","state":"pending","queue_state":null,"created_at":"2024-12-22T13:38:40.139409Z","batch_id":"","video":null,"video_raw":null,"liked":null,"estimate_wait_seconds":null,"thumbnail":null,"last_frame":null})",
       R"({"id":"u1","state":"completed","video":{"url":"https://c/v.mp4","width":752,"height":1360,"download_url":"https://c/v.mp4"}})"},
      {"DeerAPI",
       R"({"id":"u1","state":"pending","created_at":"2025-03-26T01:02:03Z","request":{"prompt":"a","aspect_ratio":"16:9","enhance":true,"request_type":"image_to_video"},"media_request":{"x":1}})",
       R"({"id":"u1","state":"completed","video":{"url":"https://c/w.mp4","download_url":"https://c/v.mp4?X-Amz-Expires=3600"},"video_raw":{"url":"https://c/v.mp4"}})"},
      {"an array", R"([{"id":"u1","state":"pending"}])",
       R"([{"id":"u1","state":"completed","video":{"download_url":"https://c/v.mp4"}}])"},
      {"an envelope", R"({"code":"success","message":"","data":{"task_id":"u1","status":"SUBMITTED"}})",
       R"({"code":"success","message":"","data":{"task_id":"u1","status":"SUCCESS","data":{"id":"u1","state":"completed","video":{"download_url":"https://c/v.mp4"}}}})"},
      {"an envelope with the id alone", R"({"code":"success","message":"","data":"u1"})",
       R"({"code":"success","data":[{"task_id":"u1","status":"SUCCESS","video_url":"https://c/v.mp4"}]})"},
  };
  for (const auto& row : table) {
    for (const char* name : {"station", "luma"}) {
      const protocol& p = *families().find_protocol(name);
      const auto created = p.parse_job(row.created);
      ASSERT_TRUE(created) << row.what;
      EXPECT_EQ(created->id, "u1") << row.what;
      EXPECT_EQ(created->state, job_state::queued) << row.what;
      const auto completed = p.parse_job(row.completed);
      ASSERT_TRUE(completed) << row.what;
      EXPECT_EQ(completed->state, job_state::completed) << row.what;
      EXPECT_TRUE(completed->has_result) << row.what;
    }
  }
}

// A relay whose upstream is a relay: states, failures and results are right at each level.
class chain : public ::testing::TestWithParam<const char*> {};

TEST_P(chain, of_relays) {
  const std::string protocol = GetParam();
  temp_dir first_dir, second_dir, third_dir;
  running_simulator sim;
  running_relay first(test_config(first_dir, sim.url()));
  config behind = settings_for(second_dir, "http://127.0.0.1:" + std::to_string(first.port()), protocol);
  behind.upstreams[0].key = secret(first.token("second"));
  running_relay second(behind);
  config last = settings_for(third_dir, "http://127.0.0.1:" + std::to_string(second.port()), protocol);
  last.upstreams[0].key = secret(second.token("third"));
  running_relay third(last);
  const client c = third.as("me");
  const auto end = [&](const char* prompt) {
    const response r =
        c.post("/dream-machine/v1/generations", R"({"prompt":")" + std::string(prompt) + R"("})");
    EXPECT_EQ(r.status, 201) << r.body;
    const std::string path =
        "/dream-machine/v1/generations/" + std::string(text_of(r.json().as_object(), "id"));
    for (int i = 0; i < 200; ++i) {
      const response shown = c.request("GET", path, {}, {"Prefer: wait=5"});
      const std::string state(text_of(shown.json().as_object(), "state"));
      EXPECT_TRUE(state == "queued" || state == "dreaming" || state == "completed" || state == "failed")
          << state;
      if (state == "completed" || state == "failed") return shown.json().as_object();
    }
    return json::object{};
  };
  const json::object done = end("a cat");
  EXPECT_EQ(text_of(done, "state"), "completed");
  EXPECT_TRUE(done.at("assets").at("video").is_string()) << json::serialize(done);
  const json::object moderated = end("#moderated");
  EXPECT_EQ(text_of(moderated, "state"), "failed");
  EXPECT_EQ(text_of(moderated, "failure_reason"), "Advanced prompt moderation failed");
  const response wrong = c.post("/dream-machine/v1/generations", R"({"prompt":"#refuse-400 this"})");
  EXPECT_EQ(wrong.status, 400) << wrong.body;
  EXPECT_NE(wrong.body.find("refused as the prompt asked"), std::string::npos);
  EXPECT_EQ(sim.created(), 2);
}
INSTANTIATE_TEST_SUITE_P(protocols, chain, ::testing::Values("luma", "station"),
                         [](const auto& i) { return std::string(i.param); });

}  // namespace
}  // namespace relay::test
