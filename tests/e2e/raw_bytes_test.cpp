// The session against raw bytes: split, pipelined, half-closed, oversized, answered early, slow.

#include <gtest/gtest.h>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

class raw : public ::testing::Test {
 protected:
  raw() : settings_(test_config(dir_, sim_.url())) {
    settings_.server.max_body_bytes = 2'000;
    settings_.server.header_timeout = milliseconds(1'000);
    settings_.server.body_timeout = milliseconds(1'000);
    settings_.server.idle_timeout = milliseconds(1'500);
    relay_ = std::make_unique<running_relay>(settings_);
    token_ = relay_->token("me");
  }

  std::string ping() const {
    return "GET /dream-machine/v1/ping HTTP/1.1\r\nHost: a\r\nAuthorization: " + token_ + "\r\n\r\n";
  }
  std::string create(const std::string& framing_and_body) const {
    return "POST /dream-machine/v1/generations HTTP/1.1\r\nHost: a\r\nAuthorization: " + token_ + "\r\n" +
           framing_and_body;
  }
  std::int64_t created() const { return sim_.created(); }

  temp_dir dir_;
  running_simulator sim_;
  config settings_;
  std::unique_ptr<running_relay> relay_;
  std::string token_;
};

TEST_F(raw, split_at_every_byte) {
  const std::string body = R"({"prompt":"a"})";  // refused by the rules, so that nothing is created
  const std::string bytes = create("Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  connection c(relay_->port());
  for (std::size_t split = 1; split < bytes.size(); ++split) {
    c.send(bytes.substr(0, split));
    c.send(bytes.substr(split));
    const response r = c.receive();
    ASSERT_EQ(r.status, 400) << split;
    ASSERT_NE(r.body.find("Prompt is too short"), std::string::npos) << split << r.body;
  }
}

TEST_F(raw, chunked_split_at_every_byte) {
  const std::string bytes =
      create("Transfer-Encoding: chunked\r\n\r\n5\r\n{\"pro\r\n9;x=y\r\nmpt\":\"a\"}\r\n0\r\n\r\n");
  connection c(relay_->port());
  for (std::size_t split = 1; split < bytes.size(); ++split) {
    c.send(bytes.substr(0, split));
    c.send(bytes.substr(split));
    const response r = c.receive();
    ASSERT_EQ(r.status, 400) << split;
    ASSERT_NE(r.body.find("Prompt is too short"), std::string::npos) << split << r.body;
  }
}

TEST_F(raw, pipelined_requests_are_answered_in_order) {
  connection c(relay_->port());
  std::string all;
  for (int i = 0; i < 50; ++i) {
    all += "GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: n" + std::to_string(i) + "\r\n\r\n";
    if (i % 10 == 5) all += create("Content-Length: 2\r\nX-Request-Id: p" + std::to_string(i) + "\r\n\r\n{}");
  }
  c.send(all);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(c.receive().header("x-request-id"), "n" + std::to_string(i));
    if (i % 10 == 5) {
      const response r = c.receive();
      EXPECT_EQ(r.header("x-request-id"), "p" + std::to_string(i));
      EXPECT_EQ(r.status, 400);
    }
  }
}

TEST_F(raw, half_closed_after_the_request) {
  connection c(relay_->port());
  c.send(ping());
  c.finish_sending();
  EXPECT_EQ(c.receive().status, 200);
  EXPECT_TRUE(c.ended());
}

TEST_F(raw, ended_within_a_request) {
  for (const std::string& part : {std::string("GET /hea"), create("Content-Length: 20\r\n\r\n{\"pro")}) {
    connection c(relay_->port());
    c.send(part);
    c.finish_sending();
    EXPECT_EQ(c.receive_all(), "");
  }
  EXPECT_EQ(created(), 0);
}

TEST_F(raw, too_long_bodies) {
  {
    connection c(relay_->port());  // answered before the body is sent
    c.send(create("Content-Length: 2001\r\n\r\n"));
    const response r = c.receive();
    EXPECT_EQ(r.status, 413);
    EXPECT_EQ(r.header("connection"), "close");
    EXPECT_TRUE(c.ended());
  }
  {
    connection c(relay_->port());
    c.send(create("Transfer-Encoding: chunked\r\n\r\n7d1\r\n" + std::string(2001, 'a') + "\r\n0\r\n\r\n"));
    EXPECT_EQ(c.receive().status, 413);
  }
  {
    connection c(relay_->port());  // no size is claimed up front
    std::string chunks;
    for (int i = 0; i < 300; ++i) chunks += "8\r\nabcdefgh\r\n";
    c.send(create("Transfer-Encoding: chunked\r\n\r\n" + chunks));
    EXPECT_EQ(c.receive().status, 413);
  }
}

// The answer must arrive although the client is still sending: no reset may overtake it.
TEST_F(raw, an_early_response_is_not_lost) {
  connection c(relay_->port());
  c.send(create("Content-Length: 200000\r\n\r\n") + std::string(200'000, 'x'));
  EXPECT_EQ(c.receive().status, 413);
  c.finish_sending();
  EXPECT_TRUE(c.ended());
  EXPECT_FALSE(c.was_reset());
}

TEST_F(raw, smuggling) {
  const std::string hidden =
      "GET /dream-machine/v1/ping HTTP/1.1\r\nHost: a\r\nAuthorization: " + token_ + "\r\n\r\n";
  for (const std::string& bytes :
       {create("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden),
        create("Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n" + hidden),
        create("Content-Length: 0\r\nContent-Length: 60\r\n\r\n" + hidden),
        create("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden),
        std::string("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") + hidden,
        std::string("GET / HTTP/1.1\nHost: a\n\n") + hidden}) {
    connection c(relay_->port());
    c.send(bytes);
    const std::string all = c.receive_all();
    EXPECT_TRUE(all.starts_with("HTTP/1.1 400 ")) << all;
    EXPECT_EQ(all.find("pong"), std::string::npos) << "the hidden request was answered";
  }
}

TEST_F(raw, bad_chunks) {
  for (const char* chunks : {"zz\r\n", "5\nabcde\r\n0\r\n\r\n", "fffffffffffffffff\r\n"}) {
    connection c(relay_->port());
    c.send(create(std::string("Transfer-Encoding: chunked\r\n\r\n") + chunks));
    const std::string all = c.receive_all();
    EXPECT_TRUE(all.starts_with("HTTP/1.1 4")) << chunks << ": " << all;
  }
  EXPECT_EQ(created(), 0);
}

// What stands around chunks is limited, and no field of a trailer reaches the request.
TEST_F(raw, chunk_extensions_and_trailers) {
  {
    connection c(relay_->port());
    c.send(create("Transfer-Encoding: chunked\r\n\r\n1;" + std::string(200'000, 'a')));
    EXPECT_TRUE(c.receive_all().starts_with("HTTP/1.1 400 "));
  }
  {
    connection c(relay_->port());
    c.send(create("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Checksum: 1\r\n\r\n") + ping());
    EXPECT_NE(c.receive().body.find("Prompt is required"), std::string::npos) << "the trailer is thrown away";
    EXPECT_EQ(c.receive().status, 200) << "and the next request is the next request";
  }
  {
    connection c(relay_->port());
    c.send(
        "POST /dream-machine/v1/generations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
        "chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: " +
        token_ + "\r\n\r\n");
    EXPECT_EQ(c.receive().status, 401) << "a token in a trailer is none";
  }
  {
    connection c(relay_->port());  // at once: nothing more is coming
    c.send(create("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\n"));
    EXPECT_EQ(c.receive().status, 400);
  }
}

// Before the token nothing is kept: the response comes while the body is still on its way.
TEST_F(raw, without_a_token_no_body_is_read) {
  const std::string head =
      "POST /dream-machine/v1/generations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wrong\r\n";
  for (const char* framing : {"Content-Length: 2000\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n100\r\n{",
                              "Expect: 100-continue\r\nContent-Length: 20\r\n\r\n"}) {
    connection c(relay_->port());
    c.send(head + framing);
    const response r = c.receive();
    EXPECT_EQ(r.status, 401) << framing;
    EXPECT_EQ(r.header("connection"), "close");
    EXPECT_TRUE(c.ended());
  }
  connection c(relay_->port());
  c.send("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n{");
  EXPECT_EQ(c.receive().status, 404);
  EXPECT_TRUE(c.ended());
}

TEST_F(raw, bodies_share_a_budget) {
  settings_.server.body_memory_bytes = 3'000;
  settings_.storage.path = dir_.file("second.db");
  settings_.server.body_timeout = milliseconds(30'000);
  running_relay strict(settings_);
  const std::string begin =
      "POST /dream-machine/v1/generations HTTP/1.1\r\nHost: a\r\nAuthorization: " + strict.token("me") +
      "\r\n";
  const std::string rest(1'998, ' ');
  connection first(strict.port());
  first.send(begin + "Content-Length: 2000\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(first.receive().status, 100);  // it holds its part
  for (const char* more : {"\r\n{", "Expect: 100-continue\r\n\r\n"}) {
    connection second(strict.port());
    second.send(begin + "Content-Length: 2000\r\n" + more);
    const response r = second.receive();
    EXPECT_EQ(r.status, 503) << r.body;
    EXPECT_EQ(r.header("retry-after"), "2");
  }
  first.send("{}" + rest);
  EXPECT_EQ(first.receive().status, 400);
  // What it held is given back, and so is what a connection held that is gone.
  const auto has_room = [&] {
    connection c(strict.port());
    c.send(begin + "Content-Length: 2000\r\nExpect: 100-continue\r\n\r\n");
    return c.receive().status == 100;  // there is none: 503 instead
  };
  EXPECT_TRUE(strict.wait_until(has_room));
  EXPECT_TRUE(strict.wait_until(has_room));
}

TEST_F(raw, expect_continue) {
  connection c(relay_->port());
  const std::string body = R"({"prompt":"a"})";
  c.send(create("Expect: 100-continue\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n"));
  EXPECT_EQ(c.receive().status, 100);
  c.send(body);
  EXPECT_EQ(c.receive().status, 400);
}

TEST_F(raw, http_1_0) {
  connection c(relay_->port());
  c.send("GET /healthz HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(c.receive_all().starts_with("HTTP/1.1 200 OK\r\n"));
}

TEST_F(raw, slow_clients_get_408_and_are_closed) {
  connection head(relay_->port());
  head.send("GET /healthz HT");
  EXPECT_EQ(head.receive().status, 408);
  connection body(relay_->port());
  body.send(create("Content-Length: 20\r\n\r\n{"));
  EXPECT_EQ(body.receive().status, 408);
  connection idle(relay_->port());
  EXPECT_EQ(idle.receive_all(), "");
  EXPECT_EQ(created(), 0);
}

TEST_F(raw, limits_on_connections) {
  settings_.server.max_connections_per_address = 3;
  settings_.server.trusted_proxies = {};
  settings_.server.idle_timeout = milliseconds(3'600'000);  // no connection ends for that
  settings_.storage.path = dir_.file("second.db");
  running_relay strict(settings_);
  std::vector<std::unique_ptr<connection>> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(std::make_unique<connection>(strict.port(), "127.0.0.2"));
    open.back()->send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(open.back()->receive().status, 200);
  }
  connection one_more(strict.port(), "127.0.0.2");
  EXPECT_TRUE(one_more.ended());
  connection another(strict.port(), "127.0.0.3");
  another.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(another.receive().status, 200);
}

// What a trusted proxy says counts; what anybody else says does not.
TEST_F(raw, requests_behind_a_proxy_count_by_the_address_it_names) {
  settings_.server.max_connections_per_address = 2;
  settings_.server.trusted_proxies = {"127.0.0.2"};
  settings_.server.body_timeout = milliseconds(30'000);
  settings_.storage.path = dir_.file("second.db");
  running_relay strict(settings_);
  const std::string begin =
      "POST /dream-machine/v1/generations HTTP/1.1\r\nHost: a\r\nAuthorization: " + strict.token("me") +
      "\r\nExpect: 100-continue\r\nContent-Length: 2\r\n";
  std::vector<std::unique_ptr<connection>> open;
  const auto ask = [&](const std::string& from, const std::string& for_whom) {
    open.push_back(std::make_unique<connection>(strict.port(), from));
    open.back()->send(begin + for_whom + "\r\n");
    return open.back()->receive().status;
  };
  // The proxy's own connections are not limited.
  EXPECT_EQ(ask("127.0.0.2", "X-Forwarded-For: 9.9.9.9\r\n"), 100);
  EXPECT_EQ(ask("127.0.0.2", "X-Forwarded-For: 1.1.1.1, 9.9.9.9\r\n"), 100);
  EXPECT_EQ(ask("127.0.0.2", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 9.9.9.9\r\n"), 429);
  EXPECT_EQ(ask("127.0.0.2", "X-Forwarded-For: 9.9.9.9, 8.8.8.8\r\n"), 100);
  EXPECT_EQ(ask("127.0.0.2", ""), 100);
  open[0]->send("{}");
  EXPECT_EQ(open[0]->receive().status, 400);
  EXPECT_EQ(ask("127.0.0.2", "X-Forwarded-For: 9.9.9.9\r\n"), 100) << "one of them has ended";
  // An address that is no proxy's is itself.
  EXPECT_EQ(ask("127.0.0.3", "X-Forwarded-For: 9.9.9.9\r\n"), 100);
}

}  // namespace
}  // namespace relay::test
