// Responses of many large jobs: whole, in the right order, and in parts, whoever reads them (rule R1).

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

struct long_replies : ::testing::Test {
  long_replies() : relay(test_config(dir, sim.url())), me(relay.as("me")) {}

  // Jobs of so many bytes each; their ids, oldest first.
  std::vector<std::string> create(int count, std::size_t bytes) {
    std::vector<std::string> ids;
    for (int i = 0; i < count; ++i) {
      // A long prompt, which every dialect shows, and an unknown field, which is kept.
      std::string prompt = "job " + std::to_string(i);
      for (int k = 0; k < 4'900; ++k) prompt += "\xe5\xbd\xb1";
      const std::string note(bytes, static_cast<char>('a' + i % 26));
      const response r = me.post(generations, R"({"prompt":")" + prompt + R"(","note":")" + note + "\"}");
      EXPECT_EQ(r.status, 201) << r.body.substr(0, 500);
      ids.emplace_back(text_of(r.json().as_object(), "id"));
    }
    for (const std::string& id : ids) wait_for_state(me, generations + "/" + id, "completed");
    return ids;
  }
  static std::string batch_of(const std::vector<std::string>& ids) {
    std::string out = R"({"ids":[)";
    for (const std::string& id : ids) out += (out.ends_with('[') ? "\"" : ",\"") + id + "\"";
    return out + "]}";
  }

  temp_dir dir;
  running_simulator sim;
  running_relay relay;
  const client me;
};

TEST_F(long_replies, a_list_is_the_same_short_and_long) {
  const std::vector<std::string> ids = create(20, 1'000);
  for (const int limit : {1, 5, 20, 100}) {
    const response r = me.get(generations + "?limit=" + std::to_string(limit));
    ASSERT_EQ(r.status, 200);
    const json::object page = r.json().as_object();
    const json::array& items = page.at("generations").as_array();
    const std::size_t expected = std::min<std::size_t>(ids.size(), static_cast<std::size_t>(limit));
    ASSERT_EQ(items.size(), expected) << limit;
    EXPECT_EQ(page.at("count"), expected);
    EXPECT_EQ(page.at("has_more"), limit < 20);
    for (std::size_t i = 0; i < expected; ++i) {
      const std::string& id = ids[ids.size() - 1 - i];
      ASSERT_EQ(text_of(items[i].as_object(), "id"), id) << limit;
      if (limit == 20) EXPECT_EQ(json::serialize(items[i]), me.get(generations + "/" + id).body);
    }
    // Short ones say how long they are.
    EXPECT_EQ(r.headers.contains("content-length"), limit <= 5) << limit;
    EXPECT_EQ(r.headers.contains("transfer-encoding"), limit >= 20) << limit;
  }
}

TEST_F(long_replies, a_batch_leaves_out_what_is_not_there) {
  std::vector<std::string> ids = create(20, 1'000);
  std::vector<std::string> asked;
  for (const std::string& id : ids) {
    asked.push_back(id);
    asked.push_back("01936e4f-a1b2-7000-8000-" + id.substr(24));
  }
  const response r = me.post("/luma/tasks", batch_of(asked));
  ASSERT_EQ(r.status, 200);
  EXPECT_TRUE(r.headers.contains("transfer-encoding"));
  const json::value body = r.json();
  ASSERT_EQ(body.at("data").as_array().size(), ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(body.at("data").at(i).at("task_id"), json::string(ids[i]));
  EXPECT_EQ(relay.as("other").post("/luma/tasks", batch_of(ids)).json().at("data").as_array().size(), 0u);
}

// The connection is as good as before.
TEST_F(long_replies, the_next_request_follows) {
  create(12, 30'000);
  connection c(relay.port());
  const std::string token = relay.token("again");
  const client again(relay.port(), token);
  const auto head = [&](const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: a\r\nAuthorization: " + token + "\r\n\r\n";
  };
  c.send(head(generations) + head("/dream-machine/v1/ping"));
  EXPECT_EQ(c.receive().json().at("count"), 0);
  EXPECT_EQ(c.receive().status, 200);
}

// To HTTP/1.0 the end of the connection is the end of the response.
TEST_F(long_replies, to_an_old_client) {
  create(12, 30'000);
  const std::string token = relay.token("unused");
  const response made = me.get(generations);
  ASSERT_EQ(made.status, 200);
  const response rotated = relay.admin("POST", "/tokens/*/me/rotate", {{"grace_s", 60}});
  connection c(relay.port());
  c.send("GET " + generations + " HTTP/1.0\r\nAuthorization: " +
         std::string(text_of(rotated.json().as_object(), "token")) + "\r\n\r\n");
  const std::string all = c.receive_all();
  const auto end = all.find("\r\n\r\n");
  ASSERT_NE(end, std::string::npos);
  EXPECT_EQ(all.substr(end + 4), made.body);
  EXPECT_EQ(all.substr(0, end).find("chunked"), std::string::npos);
}

// Rule H3: who takes no bytes is cut off.
TEST(slow_reader, that_takes_no_bytes_is_cut_off) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.write_timeout = milliseconds(300);
  running_relay relay(settings);
  const std::string token = relay.token("me");
  const client me(relay.port(), token);
  for (int i = 0; i < 12; ++i) {
    const response r = me.post(generations, R"({"prompt":"#pad-150000 job"})");
    ASSERT_EQ(r.status, 201);
    wait_for_state(me, generations + "/" + std::string(text_of(r.json().as_object(), "id")), "completed");
  }
  connection unread(relay.port());
  unread.send("GET " + generations + " HTTP/1.1\r\nHost: a\r\nAuthorization: " + token + "\r\n\r\n");
  // Another one shows the number of connections, and sees it fall: its own admin connection is not counted.
  const auto open = [&] {
    const std::string text = client(relay.admin_port()).get("/metrics").body;
    const std::string name = "\nluma_relay_connections ";
    return std::stoi(text.substr(text.find(name) + name.size()));
  };
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (open() == 0 && std::chrono::steady_clock::now() < give_up) {
  }
  while (open() > 0 && std::chrono::steady_clock::now() < give_up) {
  }
  EXPECT_EQ(open(), 0);
  const std::string got = unread.receive_all();
  EXPECT_FALSE(got.ends_with("0\r\n\r\n")) << "and can see that it is not whole";
}

}  // namespace
}  // namespace relay::test
