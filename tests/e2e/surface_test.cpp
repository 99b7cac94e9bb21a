// The rest of the official API: what is made of a file, lists of words, credits; and jobs that no upstream
// can do.

#include <gtest/gtest.h>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

std::string id_in(const response& r) {
  return std::string(text_of(r.json().as_object(), "id"));
}

TEST(surface, what_is_made_of_a_file) {
  const struct {
    const char *path, *body, *type, *shown, *envelope, *file;
  } table[] = {
      {"/video/reframe", R"({"media":{"url":"https://e.x/a.mp4"},"aspect_ratio":"9:16","prompt":"wider"})",
       "reframe_video", "video", "LUMA_VIDEO_REFRAME", "video"},
      {"/image/reframe", R"({"media":{"url":"https://e.x/a.jpg"},"aspect_ratio":"1:1","model":"photon-1"})",
       "reframe_image", "image", "LUMA_IMAGE_REFRAME", "image"},
      {"/video/modify", R"({"media":{"url":"https://e.x/a.mp4"},"mode":"flex_2","model":"ray-flash-2"})",
       "modify_video", "video", "LUMA_VIDEO_MODIFY", "video"},
  };
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  std::size_t made = 0;
  for (const auto& row : table) {
    const response created = c.post(generations + row.path, row.body);
    ASSERT_EQ(created.status, 201) << created.body;
    const json::object sent = parse_lenient(row.body)->as_object();
    const json::object echo = created.json().at("request").as_object();
    EXPECT_EQ(created.json().at("generation_type"), row.shown);
    EXPECT_EQ(echo.at("generation_type"), row.type);
    for (const auto& field : sent) EXPECT_EQ(echo.at(field.key()), field.value()) << row.path;
    const response done = wait_for_state(c, generations + "/" + id_in(created), "completed");
    EXPECT_TRUE(done.json().at("assets").at(row.file).is_string()) << done.body;
    const response batch = c.post("/luma/tasks", R"({"ids":[")" + id_in(created) + R"("]})");
    EXPECT_EQ(batch.json().at("data").at(0).at("action"), row.envelope);
    const json::object upstream = sim.log().at("creates").as_array().at(made++).as_object();
    EXPECT_EQ(text_of(upstream, "path"), generations + row.path);
    EXPECT_EQ(upstream.at("body").at("generation_type"), row.type);
  }
}

// Rule: what an upstream tells is kept for an hour, and asked for by nobody twice at once.
TEST(surface, lists_of_words) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  for (int i = 0; i < 3; ++i) {
    const response concepts = c.get(generations + "/concepts/list");
    EXPECT_EQ(concepts.status, 200);
    EXPECT_EQ(concepts.body, R"(["orbit_left","a_new_one"])");
    EXPECT_EQ(c.get(generations + "/camera_motion/list").body, R"(["camera orbit left"])");
  }
  EXPECT_EQ(sim.log().at("word_lists"), 2);
  EXPECT_EQ(relay.as_nobody().get(generations + "/concepts/list").status, 401);
}

TEST(surface, lists_of_words_when_no_upstream_tells) {
  sim::options o;
  o.protocol = "station";
  running_simulator station(o);
  for (const bool is_down : {false, true}) {
    temp_dir dir;
    config settings = test_config(dir, is_down ? "http://127.0.0.1:1" : station.url());
    settings.upstreams[0].protocol = is_down ? "luma" : "station";
    running_relay relay(settings);
    const client c = relay.as("me");
    const response r = c.get(generations + "/concepts/list");
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.json().as_array().size(), 34u) << r.body;
    EXPECT_FALSE(c.get(generations + "/camera_motion/list").json().as_array().empty());
  }
}

TEST(surface, credits_are_the_configured_figure_or_the_operators_own) {
  for (const bool from_upstreams : {false, true}) {
    temp_dir dir;
    running_simulator sim;
    config settings = test_config(dir, sim.url());
    settings.credits.balance_cents = 250;
    settings.credits.from_upstreams = from_upstreams;
    running_relay relay(settings);
    const client c = relay.as("me");
    EXPECT_EQ(c.get("/dream-machine/v1/credits").json().at("credit_balance").to_number<double>(),
              from_upstreams ? 1234.5 : 250.0);
    EXPECT_EQ(c.get("/luma/subscription/usage").json().at("available"), from_upstreams ? 1234 : 250);
    EXPECT_EQ(c.get("/luma/users/me").json().at("username"), "me");
  }
  temp_dir dir;
  config settings = test_config(dir, "http://127.0.0.1:1");
  settings.credits.from_upstreams = true;
  running_relay relay(settings);
  const response r = relay.as("me").get("/dream-machine/v1/credits");
  EXPECT_EQ(r.status, 503) << "no figure is made up: " << r.body;
  EXPECT_FALSE(r.header("retry-after").empty());
}

TEST(surface, a_job_that_no_upstream_can_do_is_refused_at_once) {
  temp_dir dir;
  sim::options o;
  o.protocol = "station";
  running_simulator station(o);
  config settings = test_config(dir, station.url());
  settings.upstreams[0].protocol = "station";
  running_relay relay(settings);
  const client c = relay.as("me");
  const struct {
    const char *path, *body;
  } table[] = {
      {"/image", R"({"prompt":"abc"})"},
      {"/video/modify", R"({"media":{"url":"https://e.x/a.mp4"},"mode":"flex_2"})"},
  };
  for (const auto& row : table) {
    const response r = c.post(generations + row.path, row.body);
    EXPECT_EQ(r.status, 400) << r.body;
    EXPECT_TRUE(r.body.contains(R"(protocol \"luma\")")) << r.body;
  }
  EXPECT_EQ(c.get(generations).json().at("generations").as_array().size(), 0u);
  EXPECT_EQ(c.post(generations, R"({"prompt":"what it can do"})").status, 201);
  EXPECT_EQ(station.created(), 1);
}

// The client's job is not the cause, and the client's key is not either.
TEST(surface, a_key_that_every_upstream_refuses_is_said_to_be_the_relays) {
  for (const int status : {401, 402, 403, 429}) {
    temp_dir dir;
    running_simulator sim;
    config settings = test_config(dir, sim.url());
    settings.submit.deadline = milliseconds(300);
    settings.submit.retry = settings.submit.retry_max = milliseconds(20);
    running_relay relay(settings);
    const client c = relay.as("me");
    const std::string prompt = R"({"prompt":"#refuse-)" + std::to_string(status) + R"( a job"})";
    const std::string id = id_in(c.post(generations, prompt));
    const response failed = wait_for_state(c, generations + "/" + id, "failed");
    EXPECT_EQ(failed.body.contains("relay's own account upstream was refused"), status != 429)
        << status << ": " << failed.body;
    EXPECT_FALSE(failed.body.contains(settings.upstreams[0].name)) << "no name of an upstream";
  }
}

// What stations' clients read, and where.
TEST(surface, stations_clients_find_state_id_and_link) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const json::value made =
      c.post("/luma/generations", R"({"user_prompt":"cat dance","aspect_ratio":""})").json();
  const std::string id(text_of(made.as_object(), "id"));
  EXPECT_EQ(made.at("status"), made.at("state"));
  EXPECT_EQ(made.at("task_id"), made.at("id"));
  EXPECT_EQ(made.at("data").at("task_id"), made.at("id"));
  EXPECT_TRUE(made.at("result").at("video_url").is_null());
  const json::value done = wait_for_state(c, "/luma/generations/" + id, "completed").json();
  EXPECT_EQ(done.at("status"), "completed");
  EXPECT_EQ(done.at("result").at("video_url"), done.at("video").at("download_url"));
  EXPECT_FALSE(done.as_object().contains("data")) << "clients that unwrap `data` want the job in it";
}

TEST(surface, a_batch_may_be_a_bare_array) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.tasks_shape = "array";
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string id = id_in(c.post(generations, R"({"prompt":"a job"})"));
  const json::value batch = c.post("/luma/tasks", R"({"ids":[")" + id + R"("]})").json();
  EXPECT_EQ(batch.as_array().at(0).at("id").as_string(), id)
      << "generations, as the stations' array has them";
  EXPECT_TRUE(batch.as_array().at(0).as_object().contains("state"));
  EXPECT_EQ(c.post("/luma/tasks", R"({"ids":[]})").body, "[]");
}

// ComfyUI's nodes: the paths of its own proxy, in the official dialect, and its header for the key.
TEST(surface, comfyui_finds_its_paths) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as_nobody();
  const std::string key = "X-API-KEY: " + relay.token("me");
  const response video = c.request(
      "POST", "/proxy/luma/generations",
      R"({"prompt":"abc","model":"ray-1-6","aspect_ratio":"16:9","loop":false,"keyframes":{"frame0":{"type":"image","url":"https://e.x/a.png"}}})",
      {key});
  ASSERT_EQ(video.status, 201) << video.body;
  EXPECT_EQ(video.json().at("request").at("model"), "ray-1-6") << "as it was spelled";
  const response image =
      c.request("POST", "/proxy/luma/generations/image", R"({"prompt":"abc","model":"photon-1"})", {key});
  ASSERT_EQ(image.status, 201) << image.body;
  EXPECT_EQ(
      c.request("GET", "/proxy/luma/generations/" + id_in(video), "", {key}).json().at("id").as_string(),
      id_in(video));
  EXPECT_EQ(c.request("GET", "/proxy/luma/generations/" + id_in(video), "").status, 401);
  EXPECT_EQ(c.request("GET", "/proxy/luma_2/generations/" + id_in(video), "", {key}).status, 404);
}

std::vector<std::string> ids_in_list(const client& c, const std::string& query = "") {
  std::vector<std::string> out;
  for (const json::value& g : c.get(generations + query).json().at("generations").as_array())
    out.emplace_back(text_of(g.as_object(), "id"));
  return out;
}

json::object shown_to_operator(running_relay& relay, const std::string& id) {
  return relay.admin("GET", "/jobs/" + id).json().as_object();
}

TEST(deletion, hides_a_job_from_its_client_at_once_and_for_good) {
  temp_dir dir;
  running_simulator sim;
  std::vector<std::string> ids;
  std::string token;
  {
    running_relay relay(test_config(dir, sim.url()));
    token = relay.token("me");
    const client c(relay.port(), "Bearer " + token);
    for (int i = 0; i < 3; ++i) ids.push_back(id_in(c.post(generations, R"({"prompt":"a job"})")));
    for (const std::string& id : ids) wait_for_state(c, generations + "/" + id, "completed");
    EXPECT_EQ(ids_in_list(c), (std::vector{ids[2], ids[1], ids[0]}));
    EXPECT_EQ(relay.as("another").request("DELETE", generations + "/" + ids[1], {}).status, 404);
    EXPECT_EQ(c.get(generations + "/" + ids[1]).status, 200) << "a foreign DELETE does nothing";

    const response gone = c.request("DELETE", generations + "/" + ids[1], {});
    EXPECT_EQ(gone.status, 204);
    EXPECT_EQ(gone.body, "");
    EXPECT_EQ(c.request("DELETE", generations + "/" + ids[1], {}).status, 404);
    EXPECT_EQ(c.get(generations + "/" + ids[1]).status, 404);
    EXPECT_EQ(c.get("/luma/generations/" + ids[1]).status, 404);
    EXPECT_EQ(c.get(generations + "/" + ids[1] + "/events").status, 404);
    EXPECT_EQ(c.post("/luma/tasks", R"({"ids":[")" + ids[0] + R"(",")" + ids[1] + R"("]})")
                  .json()
                  .at("data")
                  .as_array()
                  .size(),
              1u);
    EXPECT_EQ(c.post("/luma/generations/" + ids[1] + "/extend", R"({"user_prompt":"go on"})").status, 404);
    EXPECT_EQ(ids_in_list(c), (std::vector{ids[2], ids[0]}));
    EXPECT_EQ(ids_in_list(c, "?limit=1&offset=1"), (std::vector{ids[0]}));
    EXPECT_EQ(shown_to_operator(relay, ids[1]).at("state"), "completed") << "the operator sees it still";
  }
  running_relay relay(test_config(dir, sim.url()));
  const client c(relay.port(), "Bearer " + token);
  EXPECT_EQ(c.get(generations + "/" + ids[1]).status, 404);
  EXPECT_EQ(ids_in_list(c), (std::vector{ids[2], ids[0]}));
}

TEST(deletion, cancels_what_waits) {
  temp_dir dir;
  config settings = test_config(dir, "http://127.0.0.1:1");
  settings.submit.retry = settings.submit.retry_max = milliseconds(20);
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string id = id_in(c.post(generations, R"({"prompt":"nobody has it"})"));
  EXPECT_EQ(shown_to_operator(relay, id).at("state"), "pending");
  EXPECT_EQ(c.request("DELETE", generations + "/" + id, {}).status, 204);
  const json::object shown = shown_to_operator(relay, id);
  EXPECT_EQ(shown.at("state"), "failed");
  EXPECT_EQ(shown.at("fail_reason"), "Deleted before it was submitted again");
  EXPECT_TRUE(shown.at("next_submit_at").is_null());
}

TEST(deletion, follows_what_an_upstream_has_and_calls_nobody_back) {
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(0);
  o.dreams_for = milliseconds(600);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.poll.interval = milliseconds(10);
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string id =
      id_in(c.post(generations, R"({"prompt":"a job","callback_url":"http://127.0.0.1:1/hook"})"));
  EXPECT_EQ(c.request("DELETE", generations + "/" + id, {}).status, 204);
  EXPECT_TRUE(relay.wait_until([&] { return shown_to_operator(relay, id).at("state") == "completed"; }));
  const json::object shown = shown_to_operator(relay, id);
  EXPECT_EQ(shown.at("callback").at("pending"), "");
  EXPECT_EQ(shown.at("callback").at("stopped"), true);
  EXPECT_EQ(c.get(generations + "/" + id).status, 404);
  EXPECT_EQ(sim.created(), 1);
}

// What builds on it was accepted, and is submitted; from disk as from memory.
// Only when the operator says so, and only what has ended there.
TEST(deletion, reaches_the_upstream_after_the_end) {
  for (const bool wanted : {false, true}) {
    temp_dir dir;
    running_simulator sim;
    config settings = test_config(dir, sim.url());
    settings.poll.delete_at_upstream = wanted;
    running_relay relay(settings);
    const client c = relay.as("me");
    const std::string early = id_in(c.post(generations, R"({"prompt":"deleted while it runs"})"));
    const std::string late = id_in(c.post(generations, R"({"prompt":"deleted after its end"})"));
    EXPECT_EQ(c.request("DELETE", generations + "/" + early, {}).status, 204);
    wait_for_state(c, generations + "/" + late, "completed");
    EXPECT_EQ(c.request("DELETE", generations + "/" + late, {}).status, 204);
    const auto ended = [&](const std::string& id) {
      return shown_to_operator(relay, id).at("state") == "completed";
    };
    ASSERT_TRUE(relay.wait_until([&] { return ended(early) && ended(late); }));
    if (!wanted) {
      EXPECT_EQ(sim.log().at("removes"), 0);
      continue;
    }
    EXPECT_TRUE(relay.wait_until([&] { return sim.log().at("removed").as_array().size() == 2; }));
    EXPECT_EQ(sim.created(), 2);
  }
}

// What fails is on disk, and done by the next process.
TEST(deletion, at_the_upstream_survives_a_restart) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.poll.delete_at_upstream = true;
  std::string id;
  {
    running_relay relay(settings);
    const client c = relay.as("me");
    id = id_in(c.post(generations, R"({"prompt":"a job"})"));
    wait_for_state(c, generations + "/" + id, "completed");
    sim.removals_fail(true);
    EXPECT_EQ(c.request("DELETE", generations + "/" + id, {}).status, 204);
    EXPECT_TRUE(relay.wait_until([&] { return sim.log().at("removes").as_int64() > 0; }));
    EXPECT_EQ(sim.log().at("removed").as_array().size(), 0u);
  }
  sim.removals_fail(false);
  running_relay relay(settings);
  EXPECT_TRUE(relay.wait_until([&] { return sim.log().at("removed").as_array().size() == 1; },
                               std::chrono::seconds(40)));
}

TEST(deletion, of_a_job_that_another_builds_on) {
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(0);
  o.dreams_for = milliseconds(500);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.storage.cache_bytes = 0;
  settings.upstreams[0].max_concurrent = 1;
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string base = id_in(c.post(generations, R"({"prompt":"the base"})"));
  wait_for_state(c, generations + "/" + base, "completed");
  c.post(generations, R"({"prompt":"it takes the place"})");
  const std::string next =
      id_in(c.post("/luma/generations/" + base + "/extend", R"({"user_prompt":"go on"})"));
  EXPECT_EQ(shown_to_operator(relay, next).at("state"), "pending");
  EXPECT_EQ(c.request("DELETE", generations + "/" + base, {}).status, 204);
  wait_for_state(c, generations + "/" + next, "completed");
  EXPECT_EQ(sim.created(), 3);
}

TEST(deletion, ends_the_waiting_for_the_job) {
  temp_dir dir;
  sim::options o;
  o.queued_for = std::chrono::minutes(10);
  running_simulator sim(o);
  running_relay relay(test_config(dir, sim.url()));
  const std::string token = relay.token("me");
  const client c(relay.port(), "Bearer " + token);
  const std::string id = id_in(c.post(generations, R"({"prompt":"a job"})"));
  connection waiting(relay.port());
  waiting.send("GET " + generations + "/" + id +
               " HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\nAuthorization: Bearer " + token + "\r\n\r\n");
  EXPECT_EQ(c.request("DELETE", generations + "/" + id, {}).status, 204);
  EXPECT_EQ(waiting.receive().status, 404) << "at once: a client of these tests waits 20 s at most";
}

TEST(deletion, ends_the_streams_of_the_job) {
  temp_dir dir;
  sim::options o;
  o.queued_for = std::chrono::minutes(10);
  running_simulator sim(o);
  running_relay relay(test_config(dir, sim.url()));
  const std::string token = relay.token("me");
  const client c(relay.port(), "Bearer " + token);
  const std::string id = id_in(c.post(generations, R"({"prompt":"a job"})"));
  connection stream(relay.port());
  stream.send("GET " + generations + "/" + id + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " +
              token + "\r\n\r\n");
  EXPECT_EQ(stream.receive(true).status, 200);
  stream.receive_until("\"queued\"");
  EXPECT_EQ(c.request("DELETE", generations + "/" + id, {}).status, 204);
  EXPECT_FALSE(stream.receive_all().contains("failed"));
}

// The client sees the name that it sent, the upstream its own; the envelope has the operator's word.
TEST(surface, names_that_operators_choose) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.tasks_platform = "luma_free";
  settings.upstreams[0].names.aliases = {{"fast", "ray-flash-2"}};
  running_relay relay(settings);
  const client c = relay.as("me");
  const response made = c.post("/dream-machine/v1/generations", R"({"prompt":"abc","model":"fast"})");
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(made.json().at("request").at("model"), "fast");
  EXPECT_EQ(made.json().at("model"), "fast");
  const json::object log = sim.log();
  EXPECT_EQ(log.at("creates").at(0).at("body").at("model"), "ray-flash-2");
  const std::string id(view(made.json().at("id").as_string()));
  const response done = wait_for_state(c, "/dream-machine/v1/generations/" + id, "completed");
  EXPECT_EQ(done.json().at("request").at("model"), "fast");
  const response batch = c.post("/luma/tasks", R"({"ids":[")" + id + R"("]})");
  EXPECT_EQ(batch.json().at("data").at(0).at("platform"), "luma_free");
}

}  // namespace
}  // namespace relay::test
