// Clients that wait instead of asking again: Prefer: wait, and Server-Sent Events.

#include <gtest/gtest.h>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

std::string create(const client& c, const std::string& prompt = "A tiger walking in snow") {
  return std::string(
      text_of(c.post(generations, R"({"prompt":")" + prompt + R"("})").json().as_object(), "id"));
}

// Jobs that stand still until the upstream calls, or for ever.
config patient(const temp_dir& dir, const running_simulator& sim) {
  config c = test_config(dir, sim.url());
  c.poll.interval = milliseconds(300);
  return c;
}

// An upstream whose jobs wait for longer than any test.
struct waiting_jobs {
  waiting_jobs() : sim(options()), settings(patient(dir, sim)) {}

  static sim::options options() {
    sim::options o;
    o.queued_for = milliseconds(3'600'000);
    return o;
  }

  temp_dir dir;
  running_simulator sim;
  config settings;
};

TEST(waiting, a_response_comes_when_the_task_changes) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(patient(dir, sim));
  const client c = relay.as("me");
  const std::string id = create(c);
  const response changed = c.request("GET", generations + "/" + id, "", {"Prefer: respond-async, wait=20"});
  EXPECT_EQ(changed.header("preference-applied"), "wait=20");
  EXPECT_EQ(text_of(changed.json().as_object(), "state"), "dreaming");
  const response done = c.request("GET", "/luma/generations/" + id, "", {"Prefer: wait=1000"});
  EXPECT_EQ(done.header("preference-applied"), "wait=60");
  EXPECT_EQ(text_of(done.json().as_object(), "state"), "completed");
  // It has ended: there is nothing to wait for.
  EXPECT_EQ(c.request("GET", generations + "/" + id, "", {"Prefer: wait=60"}).status, 200);

  const response created = c.request("POST", generations, R"({"prompt":"abc"})", {"Prefer: wait=20"});
  EXPECT_EQ(created.status, 201);
  EXPECT_EQ(created.header("preference-applied"), "wait=20");
  EXPECT_EQ(text_of(created.json().as_object(), "state"), "dreaming");
}

TEST(waiting, and_when_the_time_is_over) {
  const waiting_jobs with;
  running_relay relay(with.settings);
  const client c = relay.as("me");
  const std::string id = create(c);
  const response same = c.request("GET", generations + "/" + id, "", {"Prefer: wait=1"});
  EXPECT_EQ(text_of(same.json().as_object(), "state"), "queued");
  for (const char* no : {"Prefer: wait=x", "Prefer: wait=-1", "Prefer: return=minimal", "Prefer: wait"}) {
    EXPECT_EQ(c.request("GET", generations + "/" + id, "", {no}).header("preference-applied"), "") << no;
  }
  EXPECT_EQ(c.request("GET", generations + "/" + id, "", {"Prefer: wait=0"}).header("preference-applied"),
            "wait=0");
}

// A stream, read to its end.
std::string stream(std::uint16_t port, const std::string& authorization, const std::string& target,
                   const std::string& more = {}) {
  connection conn(port);
  conn.send("GET " + target + " HTTP/1.1\r\nHost: x\r\nAuthorization: " + authorization + "\r\n" + more +
            "\r\n");
  return conn.receive_all();
}

struct event_record {
  std::string id;
  json::object data;
};

std::vector<event_record> events_in(std::string_view answer) {
  std::string body;
  const auto head = answer.find("\r\n\r\n");
  EXPECT_NE(head, std::string_view::npos) << answer;
  std::string_view rest = answer.substr(head + 4);
  for (;;) {  // chunks
    const auto line = rest.find("\r\n");
    if (line == std::string_view::npos) break;
    const std::size_t size = std::stoul(std::string(rest.substr(0, line)), nullptr, 16);
    if (size == 0) break;
    body += rest.substr(line + 2, size);
    rest.remove_prefix(line + 2 + size + 2);
  }
  std::vector<event_record> out;
  std::string id;
  std::size_t from = 0;
  while (from < body.size()) {
    const auto to = body.find('\n', from);
    const std::string text = body.substr(from, to - from);
    if (text.starts_with("id: ")) id = text.substr(4);
    if (text.starts_with("data: ")) out.push_back({id, parse_lenient(text.substr(6)).value().as_object()});
    from = to + 1;
  }
  return out;
}

std::vector<std::string> words(const std::vector<event_record>& events, const char* field) {
  std::vector<std::string> out;
  for (const auto& e : events) out.emplace_back(text_of(e.data, field));
  return out;
}

TEST(events, of_one_generation_until_it_ends) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(patient(dir, sim));
  const std::string token = relay.token("me");
  const client c(relay.port(), token);
  const std::string id = create(c);
  const std::string target = generations + "/" + id + "/events";
  const std::string answer = stream(relay.port(), token, target);
  EXPECT_NE(answer.find("Content-Type: text/event-stream\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n0\r\n\r\n")) << answer;
  const auto events = events_in(answer);
  EXPECT_EQ(words(events, "state"), (std::vector<std::string>{"queued", "dreaming", "completed"}));
  EXPECT_EQ(events.back().data, c.get(generations + "/" + id).json().as_object());

  // A client that comes back is sent what it has not seen.
  const auto rest = events_in(stream(relay.port(), token, target, "Last-Event-ID: " + events[1].id + "\r\n"));
  EXPECT_EQ(words(rest, "state"), (std::vector<std::string>{"completed"}));
  const std::string nothing =
      stream(relay.port(), token, target, "Connection: close\r\nLast-Event-ID: " + events[2].id + "\r\n");
  EXPECT_TRUE(nothing.starts_with("HTTP/1.1 204")) << "an EventSource stops at that: " << nothing;
  for (const char* odd : {"x", "1.2", "-1", "99999999999999999999", ""}) {
    const auto all =
        events_in(stream(relay.port(), token, target, "Last-Event-ID: " + std::string(odd) + "\r\n"));
    EXPECT_EQ(words(all, "state"), (std::vector<std::string>{"completed"})) << odd;
  }
}

TEST(events, of_many_tasks_in_the_envelopes_words) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(patient(dir, sim));
  const std::string token = relay.token("me");
  const client c(relay.port(), token);
  const client other = relay.as("other");
  const std::string a = create(c);
  const std::string b = create(c);
  const std::string foreign = create(other);
  const auto events = events_in(stream(
      relay.port(), token, "/luma/tasks/events?ids=" + a + "," + foreign + "," + b + "," + a + ",nope"));
  std::map<std::string, std::vector<std::string>> by_task;
  for (const auto& e : events)
    by_task[std::string(text_of(e.data, "task_id"))].emplace_back(text_of(e.data, "status"));
  ASSERT_EQ(by_task.size(), 2u);
  for (const std::string& id : {a, b}) {
    EXPECT_EQ(by_task[id], (std::vector<std::string>{"QUEUED", "IN_PROGRESS", "SUCCESS"}));
  }
  const std::string last = events.back().id;
  EXPECT_TRUE(stream(relay.port(), token, "/luma/tasks/events?ids=" + a + "," + b,
                     "Connection: close\r\nLast-Event-ID: " + last + "\r\n")
                  .starts_with("HTTP/1.1 204"));
}

// What a token may not read any more is not sent to it either.
TEST(events, end_when_the_token_is_revoked) {
  const waiting_jobs with;
  running_relay relay(with.settings);
  const std::string revoked = relay.token("revoked");
  const std::string other = relay.token("other");
  const auto follow = [&](const std::string& token) {
    const std::string id = create(client(relay.port(), token));
    auto conn = std::make_unique<connection>(relay.port());
    conn->send("GET " + generations + "/" + id + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: " + token +
               "\r\n\r\n");
    conn->receive_until("data: ");
    return conn;
  };
  const auto ends = follow(revoked);
  const auto goes_on = follow(other);
  EXPECT_EQ(relay.admin("POST", "/tokens/*/revoked/revoke").status, 200);
  EXPECT_TRUE(ends->receive_all().ends_with("0\r\n\r\n"));
  EXPECT_FALSE(goes_on->ended());
}

// The same for a read that waits for a change.
TEST(waiting, ends_when_the_token_is_revoked) {
  const waiting_jobs with;
  running_relay relay(with.settings);
  const std::string token = relay.token("revoked");
  const std::string id = create(client(relay.port(), token));
  connection conn(relay.port());
  // The second waits as soon as the first has its response.
  const std::string get = "GET " + generations + "/" + id + " HTTP/1.1\r\nHost: x\r\nAuthorization: " + token;
  conn.send(get + "\r\n\r\n" + get + "\r\nPrefer: wait=60\r\nConnection: close\r\n\r\n");
  conn.receive_until("\"state\"");
  EXPECT_EQ(relay.admin("POST", "/tokens/*/revoked/revoke").status, 200);
  EXPECT_NE(conn.receive_all().find("HTTP/1.1 401"), std::string::npos);
}

// And for a create: its job was made, and is the answer.
TEST(waiting, of_a_create_ends_when_the_token_is_revoked) {
  const waiting_jobs with;
  running_relay relay(with.settings);
  const std::string token = relay.token("revoked");
  connection conn(relay.port());
  const std::string body = R"({"prompt":"a cat"})";
  conn.send("POST " + generations + " HTTP/1.1\r\nHost: x\r\nAuthorization: " + token +
            "\r\nPrefer: wait=60\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
            "\r\n\r\n" + body);
  ASSERT_TRUE(relay.wait_until([&] {
    const json::value listed = relay.admin("GET", "/jobs?state=queued").json();
    return listed.at("items").as_array().size() == 1;
  }));
  EXPECT_EQ(relay.admin("POST", "/tokens/*/revoked/revoke").status, 200);
  EXPECT_NE(conn.receive_all().find("HTTP/1.1 201"), std::string::npos);
}

TEST(events, one_key_does_not_take_every_connection) {
  const waiting_jobs with;
  running_relay relay(with.settings);
  const std::string token = relay.token("me");
  const std::string id = create(client(relay.port(), token));
  std::vector<std::unique_ptr<connection>> open;
  const std::string ask =
      "GET " + generations + "/" + id + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: " + token + "\r\n\r\n";
  for (int i = 0; i < 200; ++i) {
    open.push_back(std::make_unique<connection>(relay.port()));
    open.back()->send(ask);
    open.back()->receive_until("data: ");
  }
  const response more = client(relay.port(), token).get(generations + "/" + id + "/events");
  EXPECT_EQ(more.status, 429);
  EXPECT_EQ(more.header("retry-after"), "10");
}

TEST(events, bad_requests) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(patient(dir, sim));
  const client c = relay.as("me");
  std::string many = "a";
  for (int i = 0; i < 100; ++i) many += ",a" + std::to_string(i);
  EXPECT_EQ(c.get("/luma/tasks/events").status, 400);
  EXPECT_EQ(c.get("/luma/tasks/events?ids=,,").status, 400);
  EXPECT_EQ(c.get("/luma/tasks/events?ids=" + many).status, 400);
  EXPECT_EQ(c.get("/luma/tasks/events?ids=nope").status, 404);
  EXPECT_EQ(c.get(generations + "/nope/events").status, 404);
  EXPECT_EQ(relay.as_nobody().get("/luma/tasks/events?ids=a").status, 401);
}

TEST(events, a_head_request_has_no_body) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(patient(dir, sim));
  const std::string token = relay.token("me");
  const std::string id = create(client(relay.port(), token));
  connection conn(relay.port());
  conn.send("HEAD " + generations + "/" + id + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: " + token +
            "\r\n\r\n");
  const std::string answer = conn.receive_all();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\n"));
  EXPECT_EQ(answer.find("data:"), std::string::npos);
}

TEST(events, http_1_0_is_read_to_the_end_of_the_connection) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(patient(dir, sim));
  const std::string token = relay.token("me");
  const std::string id = create(client(relay.port(), token));
  connection conn(relay.port());
  conn.send("GET " + generations + "/" + id + "/events HTTP/1.0\r\nAuthorization: " + token + "\r\n\r\n");
  const std::string answer = conn.receive_all();
  EXPECT_EQ(answer.find("Transfer-Encoding"), std::string::npos);
  EXPECT_NE(answer.find("\"state\":\"completed\""), std::string::npos);
}

TEST(events, who_only_listens_does_not_hold_up_a_stop) {
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(3'600'000);
  running_simulator sim(o);
  config settings = patient(dir, sim);
  settings.server.shutdown_grace = milliseconds(600'000);
  running_relay relay(settings);
  const std::string token = relay.token("me");
  const std::string id = create(client(relay.port(), token));
  connection conn(relay.port());
  conn.send("GET " + generations + "/" + id + "/events HTTP/1.1\r\nHost: x\r\nAuthorization: " + token +
            "\r\n\r\n");
  conn.receive_until("data: ");
  relay.begin_to_stop();
  EXPECT_TRUE(conn.receive_all().ends_with("0\r\n\r\n")) << "it ends as a whole answer";
  relay.stop();
}

}  // namespace
}  // namespace relay::test
