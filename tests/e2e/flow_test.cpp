// A client's job through the whole relay: a real relay, a real upstream, real sockets.

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

std::string create(const client& c,
                   const std::string& body = R"({"prompt":"A tiger walking in snow","model":"ray-2"})",
                   const std::string& path = "/dream-machine/v1/generations") {
  const response r = c.post(path, body);
  EXPECT_EQ(r.status, 201) << r.body;
  return std::string(text_of(r.json().as_object(), "id"));
}

std::string official(const std::string& id) {
  return "/dream-machine/v1/generations/" + id;
}
std::string web_app(const std::string& id) {
  return "/luma/generations/" + id;
}

json::value js(const std::string& text) {
  return json::string(text);
}

json::object item(const client& c, const std::string& id) {
  const response r = c.post("/luma/tasks", R"({"ids":[")" + id + R"("]})");
  EXPECT_EQ(r.status, 200) << r.body;
  return r.json().as_object().at("data").as_array().at(0).as_object();
}

TEST(flow, a_job_goes_in_and_comes_back_in_every_dialect) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");

  const std::string id = create(c);
  const json::object done = wait_for_state(c, official(id), "completed").json().as_object();
  EXPECT_EQ(done.at("id"), js(id));
  const auto video = std::string(text_of(done.at("assets").as_object(), "video"));
  EXPECT_TRUE(video.starts_with(sim.url())) << video;
  EXPECT_EQ(done.at("video").as_object().at("download_url"), js(video));

  const json::object app = c.get(web_app(id)).json().as_object();
  EXPECT_EQ(app.at("state"), "completed");
  EXPECT_EQ(app.at("video").as_object().at("download_url"), js(video));
  EXPECT_EQ(app.at("artifact").as_object().at("video"), app.at("video"));
  EXPECT_EQ(app.at("request").as_object().at("prompt"), "A tiger walking in snow");
  EXPECT_EQ(c.get(web_app(id) + "/download_video_url").json().as_object().at("url"), js(video));

  const json::object row = item(c, id);
  EXPECT_EQ(row.at("status"), "SUCCESS");
  EXPECT_EQ(row.at("progress"), "100%");
  EXPECT_EQ(row.at("action"), "LUMA_VIDEO");
  EXPECT_EQ(row.at("platform"), "luma");
  EXPECT_TRUE(row.at("id").is_int64());
  EXPECT_GT(row.at("finish_time").as_int64(), 0);
  EXPECT_EQ(row.at("data").as_object().at("id"), js(id));

  EXPECT_EQ(sim.created(), 1);
  const client files(sim.port());
  EXPECT_TRUE(files.get(video.substr(sim.url().size())).body.substr(4, 4) == "ftyp");
}

TEST(flow, a_station_front_end_with_a_trailing_slash) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string id = create(
      c,
      R"({"aspect_ratio":"16:9","loop":false,"expand_prompt":true,"image_url":"","user_prompt":"cat dance","image_end_url":""})",
      "/luma/generations/");
  wait_for_state(c, web_app(id), "completed");
  const json::object sent = sim.log().at("creates").as_array().at(0).as_object();
  EXPECT_EQ(
      sent.at("body"),
      parse_lenient(R"({"aspect_ratio":"16:9","loop":false,"prompt":"cat dance","model":"ray-2"})").value());
}

TEST(flow, an_upstream_that_is_a_station) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.protocol = "station";
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].protocol = "station";
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string id = create(c);
  const json::object done = wait_for_state(c, official(id), "completed").json().as_object();
  EXPECT_TRUE(text_of(done.at("assets").as_object(), "video").ends_with("/video.mp4"));
  EXPECT_TRUE(text_of(done.at("video").as_object(), "url").ends_with("/watermarked.mp4"));
  EXPECT_TRUE(done.at("last_frame").is_object());
  const json::object sent = sim.log().at("creates").as_array().at(0).as_object();
  EXPECT_EQ(sent.at("path"), "/luma/generations");
  EXPECT_EQ(sent.at("body").as_object().at("user_prompt"), "A tiger walking in snow");

  const std::string longer = create(c, R"({"user_prompt":"go on"})", web_app(id) + "/extend");
  wait_for_state(c, official(longer), "completed");
  EXPECT_TRUE(text_of(sim.log().at("creates").as_array().at(1).as_object(), "path").ends_with("/extend"));
}

TEST(flow, extending_translates_the_id_and_stays_with_its_upstream) {
  temp_dir dir;
  running_simulator other;
  running_simulator sim;
  config settings = test_config(dir, other.url());
  upstream_config second = settings.upstreams[0];
  second.name = "second";
  second.base = *parse_base_url(sim.url());
  settings.upstreams[0].max_concurrent = 1;
  settings.upstreams.push_back(second);
  running_relay relay(settings);
  const client c = relay.as("me");
  // The first upstream takes one job, the next goes to the second.
  const std::string filler = create(c, R"({"prompt":"filler","seed":1})");
  const std::string id = create(c);
  if (sim.created() == 0) GTEST_FAIL() << "the second job did not go to the second upstream";
  wait_for_state(c, official(id), "completed");
  const std::string longer =
      create(c, R"({"prompt":"go on","keyframes":{"frame0":{"type":"generation","id":")" + id + R"("}}})");
  wait_for_state(c, official(longer), "completed");
  const json::array creates = sim.log().at("creates").as_array();
  ASSERT_EQ(creates.size(), 2u);
  const json::object& sent = creates[1].as_object().at("body").as_object();
  EXPECT_EQ(sent.at("keyframes").at("frame0").at("id"), creates[0].as_object().at("id"));
  // The client sees its own id in the echo.
  EXPECT_EQ(c.get(official(longer)).json().at("request").at("keyframes").at("frame0").at("id"), js(id));

  const response foreign =
      relay.as("stranger")
          .post("/dream-machine/v1/generations",
                R"({"prompt":"go on","keyframes":{"frame0":{"type":"generation","id":")" + id + R"("}}})");
  EXPECT_EQ(foreign.status, 400) << foreign.body;
}

// `sync` is served here: the upstream is asked without it, and the client waits for the end.
TEST(flow, a_sync_image_is_answered_when_it_is_done) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const response r = c.post("/dream-machine/v1/generations/image",
                            R"({"prompt":"a cat","model":"photon-1","sync":true,"sync_timeout":20})");
  EXPECT_EQ(r.status, 201) << r.body;
  EXPECT_EQ(r.json().at("state"), "completed") << r.body;
  EXPECT_TRUE(r.json().at("assets").at("image").is_string());
  EXPECT_EQ(r.json().at("request").at("sync"), true) << "the echo is what was asked";
  const json::value sent = sim.log().at("creates").as_array().at(0).at("body");
  EXPECT_FALSE(sent.as_object().contains("sync") || sent.as_object().contains("sync_timeout"));
}

TEST(flow, failures_come_back_with_the_upstreams_reason) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string id = create(c, R"({"prompt":"#moderated"})");
  EXPECT_EQ(wait_for_state(c, official(id), "failed").json().as_object().at("failure_reason"),
            "Advanced prompt moderation failed");
  EXPECT_EQ(item(c, id).at("fail_reason"), "Advanced prompt moderation failed");
  EXPECT_EQ(item(c, id).at("status"), "FAILURE");
}

// Rule R4.
TEST(flow, an_upstream_that_quotes_the_key_does_not_give_it_away) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.key = "luma-0123456789abcdef";
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].key = secret(o.key);
  running_relay relay(settings);
  const client c = relay.as("me");
  const response r = c.post("/dream-machine/v1/generations", R"({"prompt":"#quote-400"})");
  EXPECT_EQ(r.status, 400) << r.body;
  EXPECT_NE(r.body.find("the key [secret] may not do this"), std::string::npos) << r.body;
  EXPECT_EQ(r.body.find(o.key), std::string::npos);
}

TEST(flow, an_upstreams_refusal_is_the_clients_response) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const response r = c.post("/dream-machine/v1/generations", R"({"prompt":"#refuse-422"})");
  EXPECT_EQ(r.status, 422);
  EXPECT_EQ(r.json().at("detail").at(0).at("msg"), "refused as the prompt asked");
  EXPECT_EQ(r.header("x-should-retry"), "false");
}

// Rule M2. Each of these may have created a job: the upstream must never be asked again.
TEST(flow, an_unknown_outcome_is_never_submitted_again) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].first_byte_timeout = milliseconds(1'000);
  settings.submit.on_ambiguous = "fail";
  running_relay relay(settings);
  const client c = relay.as("me");
  std::vector<std::string> ids;
  for (const char* prompt :
       {"#answer-500", "#answer-502", "#answer-503", "#answer-504", "#answer-408", "#answer-409", "#hang"}) {
    const std::string id = create(c, R"({"prompt":")" + std::string(prompt) + R"("})");
    wait_for_state(c, official(id), "completed");  // found in the upstream's list, by its request
    ids.push_back(id);
  }
  // A later job shows that the upstream is still used and that nothing was waiting in between.
  wait_for_state(c, official(create(c)), "completed");
  EXPECT_EQ(sim.created(), static_cast<std::int64_t>(ids.size()) + 1);
}

TEST(flow, what_certainly_created_nothing_goes_out_again) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.limits = true;
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].max_concurrent = 8;  // below the upstream's own ten, above one
  running_relay relay(settings);
  const client c = relay.as("me");
  std::vector<std::string> ids;
  for (int i = 0; i < 15; ++i) ids.push_back(create(c, R"({"prompt":"job )" + std::to_string(i) + R"("})"));
  for (const std::string& id : ids) wait_for_state(c, official(id), "completed");
  EXPECT_EQ(sim.created(), 15);
}

TEST(flow, an_upstream_that_is_away_for_a_while_costs_no_job) {
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate(sim.port());
  gate.refuse_new();
  running_relay relay(test_config(dir, gate.url()));
  const client c = relay.as("me");
  const std::string id = create(c);
  EXPECT_EQ(c.get(official(id)).json().as_object().at("state"), "queued");
  EXPECT_EQ(item(c, id).at("status"), "SUBMITTED");
  gate.let_through();
  wait_for_state(c, official(id), "completed");
  EXPECT_EQ(sim.created(), 1);
}

TEST(flow, a_cut_connection_after_the_request_is_an_unknown_outcome) {
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate(sim.port());
  gate.swallow_answers();  // the upstream gets every byte, we get none: not even its list
  running_relay relay(test_config(dir, gate.url()));
  const client c = relay.as("me");
  const std::string id = create(c);
  const json::object end = wait_for_state(c, official(id), "failed").json().as_object();
  EXPECT_NE(text_of(end, "failure_reason").find("could not be read"), std::string_view::npos);
  EXPECT_EQ(sim.created(), 1);
}

// More than one page of tasks that nobody can take, and one that somebody can.
TEST(flow, tasks_that_nobody_can_take_do_not_hold_up_the_others) {
  temp_dir dir;
  running_simulator first;
  running_simulator second;
  tcp_gate gate(first.port());
  config both = test_config(dir, gate.url());
  upstream_config other = both.upstreams[0];
  other.name = "second";
  other.base = *parse_base_url(second.url());
  other.max_concurrent = 1;
  both.upstreams.push_back(other);
  std::string token;
  std::vector<std::string> waiting;
  {
    running_relay relay(both);
    token = relay.token("me");
    const client c(relay.port(), token);
    const std::string base = create(c);
    wait_for_state(c, official(base), "completed");
    gate.refuse_new();
    gate.cut_all();
    for (int i = 0; i < 100; ++i)
      waiting.push_back(create(c, R"({"user_prompt":"go on"})", web_app(base) + "/extend"));
  }
  {
    config second_only = both;  // what the others wait for is not even configured
    second_only.upstreams.erase(second_only.upstreams.begin());
    second_only.poll.interval = milliseconds(1'000);  // the first is there still when the second is looked at
    running_relay relay(second_only);
    const client c(relay.port(), token);
    create(c);  // takes the only slot
    const std::string free = create(c);
    EXPECT_EQ(item(c, free).at("status"), "SUBMITTED");
    wait_for_state(c, official(free), "completed");
  }
  gate.let_through();
  running_relay relay(both);
  const client c(relay.port(), token);
  for (const std::string& id : waiting) wait_for_state(c, official(id), "completed");
  EXPECT_EQ(first.created(), 101);
  EXPECT_EQ(second.created(), 2);
}

TEST(flow, when_busy_reject_responds_503_and_records_nothing) {
  temp_dir dir;
  config settings = test_config(dir, "http://127.0.0.1:1");
  settings.server.when_busy = "reject";
  settings.submit.deadline = milliseconds(1'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  create(c);  // finds out that nobody is there
  const response r = c.post("/dream-machine/v1/generations", R"({"prompt":"abc"})");
  EXPECT_EQ(r.status, 503) << r.body;
  EXPECT_FALSE(r.header("retry-after").empty());
  EXPECT_EQ(c.get("/dream-machine/v1/generations").json().as_object().at("count"), 1);
}

TEST(flow, a_task_that_nobody_takes_fails_at_its_deadline) {
  temp_dir dir;
  config settings = test_config(dir, "http://127.0.0.1:1");
  settings.submit.deadline = milliseconds(300);
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string id = create(c);
  const json::object failed = wait_for_state(c, official(id), "failed").json().as_object();
  EXPECT_EQ(failed.at("failure_reason"), "No upstream could take the job within the time allowed");
}

TEST(flow, jobs_go_on_after_a_stop_and_a_start) {
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate(sim.port());
  config settings = test_config(dir, gate.url());
  std::vector<std::string> ids;
  std::string token;
  {
    config slow = settings;
    slow.poll.interval = milliseconds(60'000);  // nothing completes in this life
    running_relay relay(slow);
    token = relay.token("me");
    const client c(relay.port(), token);  // a bare key works too
    for (int i = 0; i < 5; ++i) ids.push_back(create(c, R"({"prompt":"open job"})"));
    gate.refuse_new();
    gate.cut_all();
    for (int i = 0; i < 5; ++i) ids.push_back(create(c, R"({"prompt":"pending job"})"));
    EXPECT_EQ(item(c, ids[0]).at("status"), "QUEUED");
    EXPECT_EQ(item(c, ids[9]).at("status"), "SUBMITTED");
  }
  gate.let_through();
  {
    running_relay relay(settings);
    const client c(relay.port(), "Bearer " + token);
    for (std::size_t i = 5; i < ids.size(); ++i) wait_for_state(c, official(ids[i]), "completed");
  }
  EXPECT_EQ(sim.created(), 10);
}

TEST(flow, stopping_waits_for_requests_in_flight) {
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate(sim.port());
  gate.hold();
  running_relay relay(test_config(dir, gate.url()));
  const std::string token = relay.token("me");
  const std::uint16_t port = relay.port();
  std::thread slow([&] {
    const response r = client(port, token).post("/dream-machine/v1/generations", R"({"prompt":"abc"})");
    EXPECT_EQ(r.status, 201);
    EXPECT_EQ(r.header("connection"), "close");
  });
  gate.wait_for_connection();
  relay.begin_to_stop();
  gate.let_through();
  slow.join();
  relay.stop();
  EXPECT_EQ(sim.created(), 1);
}

TEST(flow, tokens_cannot_see_each_others_tasks) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client a = relay.as("a");
  const client b = relay.as("b");
  const std::string id = create(a);
  const std::string absent = "01936e4f-a1b2-7fff-bfff-ffffffffffff";
  for (const auto& path : {official, web_app}) {
    const response foreign = b.get(path(id));
    const response nothing = b.get(path(absent));
    EXPECT_EQ(foreign.status, 404);
    EXPECT_EQ(foreign.body, nothing.body);
    EXPECT_EQ(foreign.headers.size(), nothing.headers.size());
    EXPECT_EQ(foreign.header("content-length"), nothing.header("content-length"));
  }
  EXPECT_EQ(b.post("/luma/tasks", R"({"ids":[")" + id + R"("]})").json().as_object().at("data"),
            json::array{});
  EXPECT_EQ(b.get("/dream-machine/v1/generations").json().as_object().at("count"), 0);
  EXPECT_EQ(a.get("/dream-machine/v1/generations").json().as_object().at("count"), 1);
}

TEST(flow, a_revoked_token_stops_at_once) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  EXPECT_EQ(c.get("/dream-machine/v1/ping").status, 200);
  EXPECT_EQ(relay.admin("POST", "/tokens/*/me/revoke").status, 200);
  EXPECT_EQ(c.get("/dream-machine/v1/ping").status, 401);
  const json::value list = relay.admin("GET", "/tokens").json();
  EXPECT_FALSE(list.at("items").as_array().at(0).at("revoked_at").is_null());
  EXPECT_EQ(relay.admin("POST", "/tokens/*/me/revoke").status, 404);
  EXPECT_EQ(relay.admin("POST", "/nonsense").status, 404);
  EXPECT_EQ(relay.admin("POST", "/tokens", {{"name", "a b"}}).status, 400);
}

TEST(flow, lists_are_paged_newest_first) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(create(c));
  const json::object page = c.get("/dream-machine/v1/generations?limit=2&offset=0").json().as_object();
  EXPECT_EQ(page.at("has_more"), true);
  EXPECT_EQ(page.at("count"), 2);
  EXPECT_EQ(page.at("limit"), 2);
  EXPECT_EQ(page.at("offset"), 0);
  EXPECT_EQ(page.at("generations").as_array().at(0).at("id"), js(ids[2]));
  const json::object rest = c.get("/dream-machine/v1/generations?limit=2&offset=2").json().as_object();
  EXPECT_EQ(rest.at("has_more"), false);
  EXPECT_EQ(rest.at("generations").as_array().at(0).at("id"), js(ids[0]));
}

TEST(flow, batch_keeps_the_order_and_leaves_out_what_is_unknown) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string a = create(c);
  const std::string b = create(c);
  const std::string body = R"({"ids":[")" + b + R"(","nope",")" + a + R"(",")" + b + R"("]})";
  const response r = c.request("POST", "/luma/tasks", body, {"Content-Type: text/plain"});
  const json::array data = r.json().as_object().at("data").as_array();
  ASSERT_EQ(data.size(), 2u);
  EXPECT_EQ(data[0].at("task_id"), js(b));
  EXPECT_EQ(data[1].at("task_id"), js(a));
}

TEST(flow, metrics_tell_what_happened) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  wait_for_state(c, official(create(c)), "completed");
  const std::string text = client(relay.admin_port()).get("/metrics").body;
  for (const char* line :
       {"luma_relay_requests_total{route=\"create\",status=\"201\"} 1",
        "luma_relay_tasks{state=\"completed\"} 1",
        "luma_relay_upstream_calls_total{call=\"create\",outcome=\"accepted\",upstream=\"sim\"} 1",
        "luma_relay_store_commit_seconds_count", "luma_relay_store_queue", "luma_relay_connections"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(client(relay.port()).get("/metrics").status, 404) << "not on the public port";
  EXPECT_EQ(client(relay.port()).get("/healthz").status, 200);
  EXPECT_EQ(client(relay.port()).get("/readyz").status, 200);
}

double figure(const running_relay& relay, const std::string& series) {
  const std::string text = client(relay.admin_port()).get("/metrics").body;
  const std::size_t at = text.find("\n" + series + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size() + 2));
}

TEST(flow, metrics_are_there_before_anything_happens) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.admin.metrics_accounts = 1;
  running_relay relay(settings);
  const client first = relay.as("first"), second = relay.as("second");
  const std::vector<std::string> from_the_start = {
      R"(luma_relay_jobs_ended_total{action="image",outcome="failed",upstream="sim"})",
      R"(luma_relay_job_seconds_count{action="video"})",
      R"(luma_relay_job_wait_seconds_count{action="upscale"})",
      R"(luma_relay_requests_total{route="luma-create",status="201"})",
      R"(luma_relay_refusals_total{reason="insufficient_quota"})",
      R"(luma_relay_refusals_total{reason="rate_limit_exceeded"})",
      R"(luma_relay_connections_refused_total{reason="address"})",
      R"(luma_relay_callbacks_total{outcome="given_up"})",
      R"(luma_relay_ledger_amount_total{kind="charge"})",
      R"(luma_relay_upstream_circuits_opened_total{cause="no_credits",upstream="sim"})",
      R"(luma_relay_account_jobs_ended_total{account="first",outcome="completed"})",
      "luma_relay_log_dropped_lines_total"};
  // Those of upstreams and of accounts come with the first round of counting; asking is what takes the time.
  for (const std::string& series : from_the_start) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (figure(relay, series) != 0 && std::chrono::steady_clock::now() < until) {
    }
    EXPECT_EQ(figure(relay, series), 0) << series;
  }
  EXPECT_EQ(figure(relay, R"(luma_relay_build_info{version="0.1.0"})"), 1);
  for (const char* series : {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
                             "process_max_fds", "process_start_time_seconds", "luma_relay_disk_needed_bytes"})
    EXPECT_GT(figure(relay, series), 0) << series;

  // A job, a refusal, and an account without figures of its own.
  wait_for_state(first, official(create(first)), "completed");
  wait_for_state(second, official(create(second)), "completed");
  EXPECT_EQ(client(relay.port(), "Bearer nobody").get("/luma/users/me").status, 401);
  EXPECT_EQ(figure(relay,
                   R"(luma_relay_jobs_ended_total{action="generations",outcome="completed",upstream="sim"})"),
            2);
  EXPECT_EQ(figure(relay, R"(luma_relay_job_seconds_count{action="generations"})"), 2);
  EXPECT_EQ(figure(relay, R"(luma_relay_refusals_total{reason="invalid_api_key"})"), 1);
  EXPECT_EQ(figure(relay, R"(luma_relay_account_jobs_ended_total{account="first",outcome="completed"})"), 1);
  EXPECT_EQ(figure(relay, R"(luma_relay_account_jobs_ended_total{account="second",outcome="completed"})"),
            -1);
}

// A load balancer sees 503 before the port is closed, and what it sends meanwhile is taken.
TEST(flow, readiness_ends_before_the_relay_does) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.shutdown_delay = milliseconds(60'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  EXPECT_EQ(c.get("/readyz").json().at("parts").at("relay").at("ok"), true);
  relay.begin_to_stop();
  response ready;
  do ready = c.get("/readyz");
  while (ready.status == 200);
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.json().at("parts").at("relay").at("why"), "it stops");
  EXPECT_EQ(ready.json().at("takes_jobs"), false);
  EXPECT_EQ(c.get("/healthz").status, 200) << "it lives";
  EXPECT_EQ(c.post("/dream-machine/v1/generations", R"({"prompt":"abc"})").status, 201);
  relay.begin_to_stop();  // a second signal does not wait
  relay.stop();
}

TEST(flow, readiness_says_which_part_is_not_well) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  sim.refuse_key("luma-sim-key", 401);
  EXPECT_EQ(c.post("/dream-machine/v1/generations", R"({"prompt":"abc"})").status, 201);
  response ready;
  EXPECT_TRUE(relay.wait_until([&] {
    ready = c.get("/readyz");
    return !ready.json().at("parts").at("upstreams").at("ok").as_bool();
  }));
  EXPECT_EQ(ready.status, 200) << "reads are served, and jobs wait";
  EXPECT_EQ(ready.json().at("takes_jobs"), true);
  EXPECT_TRUE(ready.json().at("parts").at("disk").at("ok").as_bool());
}

}  // namespace
}  // namespace relay::test
