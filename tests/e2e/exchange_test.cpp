// One exchange with a peer that speaks bytes of our choice.

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <ctime>
#include <latch>
#include <thread>

#include "server/upstream/run_exchange.hpp"
#include "tests/support/name_server.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

// Accepts one connection and does what `with` says, on a thread of its own.
class peer {
 public:
  explicit peer(std::move_only_function<void(asio::ip::tcp::socket&)> with)
      : acceptor_(loop_, {asio::ip::make_address("127.0.0.1"), 0}),
        thread_([this, with = std::move(with)]() mutable {
          asio::ip::tcp::socket s(loop_);
          acceptor_.accept(s);
          with(s);
        }) {}
  asio::ip::tcp::endpoint address() const { return acceptor_.local_endpoint(); }

 private:
  asio::io_context loop_;
  asio::ip::tcp::acceptor acceptor_;
  std::jthread thread_;
};

struct seen {
  exchange x;
  bool reusable = false;
  std::string taken;  // by the sink
};

seen run(const peer& p, const std::string& request, exchange_limits limits, bool with_sink) {
  asio::io_context loop;
  deadlines d(loop);
  seen out;
  auto work = [&]() -> awaitable<> {
    relay::connection c(loop, d);
    const auto failed = co_await c.connect(p.address());
    EXPECT_FALSE(failed);
    body_sink sink;
    if (with_sink) sink = [&](std::string_view part) { out.taken += part; };
    out.x = co_await run_exchange(c, request, limits, out.reusable, sink);
    d.stop();
  };
  asio::co_spawn(loop, d.run(), asio::detached);
  asio::co_spawn(loop, work(), asio::detached);
  loop.run();
  return out;
}

void read_head(asio::ip::tcp::socket& s) {
  std::string head;
  asio::read_until(s, asio::dynamic_buffer(head), "\r\n\r\n");
}

const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ";

// A peer that refuses what it will not read ends the connection, and the rest of the request meets a reset:
// what it said before counts.
TEST(exchange, a_refusal_that_comes_while_the_request_is_sent_is_read) {
  const peer p([&](asio::ip::tcp::socket& s) {
    read_head(s);
    asio::write(s, asio::buffer(std::string("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")));
    s.shutdown(asio::ip::tcp::socket::shutdown_send);
    s.set_option(asio::socket_base::linger(true, 0));  // a reset, with most of the request unread
    s.close();
  });
  const std::string request = head + "33554432\r\n\r\n" + std::string(32 * 1024 * 1024, 'x');
  const seen got = run(p, request, {}, false);
  EXPECT_TRUE(got.x.responded) << got.x.problem;
  EXPECT_EQ(got.x.status, 413);
  EXPECT_EQ(got.x.body, "no");
  EXPECT_FALSE(got.reusable);
}

TEST(exchange, a_reset_without_a_word_is_unknown) {
  const peer p([&](asio::ip::tcp::socket& s) {
    read_head(s);
    s.set_option(asio::socket_base::linger(true, 0));
    s.close();
  });
  const seen got = run(p, head + "33554432\r\n\r\n" + std::string(32 * 1024 * 1024, 'x'), {}, false);
  EXPECT_FALSE(got.x.responded);
  EXPECT_TRUE(got.x.sent_any);
  EXPECT_NE(got.x.problem.find("cut off while it was sent"), std::string::npos) << got.x.problem;
}

TEST(exchange, a_sink_takes_the_body_of_a_200_and_nothing_else) {
  struct {
    const char* response;
    bool with_sink;
    const char* taken;
    const char* body;
  } const table[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, "hello", ""},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", true, "hello",
       ""},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, "hello", ""},
      {"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\nhello", true, "", "hello"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, "", "hello"},
  };
  for (const auto& row : table) {
    const peer p([&](asio::ip::tcp::socket& s) {
      read_head(s);
      asio::write(s, asio::buffer(std::string(row.response)));
      s.shutdown(asio::ip::tcp::socket::shutdown_send);
    });
    const seen got = run(p, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", {}, row.with_sink);
    EXPECT_TRUE(got.x.responded) << row.response << got.x.problem;
    EXPECT_EQ(got.taken, row.taken) << row.response;
    EXPECT_EQ(got.x.body, row.body) << row.response;
  }
}

TEST(exchange, retry_after_is_seconds_or_a_date) {
  const auto in_a_minute =
      std::chrono::system_clock::to_time_t(std::chrono::system_clock::now() + std::chrono::seconds(60));
  std::array<char, 40> date{};
  std::strftime(date.data(), date.size(), "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&in_a_minute));
  struct {
    std::string value;
    int least, most;
  } const table[] = {{"7", 7, 7},
                     {date.data(), 1, 60},
                     {"Sun, 06 Nov 1994 08:49:37 GMT", 0, 0},
                     {"soon", 0, 0},
                     {"-1", 0, 0}};
  for (const auto& row : table) {
    const peer p([&](asio::ip::tcp::socket& s) {
      read_head(s);
      asio::write(
          s, asio::buffer("HTTP/1.1 429 No\r\nRetry-After: " + row.value + "\r\nContent-Length: 0\r\n\r\n"));
    });
    const seen got = run(p, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", {}, false);
    EXPECT_GE(got.x.retry_after_seconds, row.least) << row.value;
    EXPECT_LE(got.x.retry_after_seconds, row.most) << row.value;
  }
}

TEST(exchange, a_body_that_is_too_long_or_too_late_is_told_apart) {
  exchange_limits small;
  small.response_bytes = 4;
  for (const char* response :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}) {
    const peer p([&](asio::ip::tcp::socket& s) {
      read_head(s);
      asio::write(s, asio::buffer(std::string(response)));
    });
    const seen got = run(p, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", small, true);
    EXPECT_TRUE(got.x.too_large) << response;
    EXPECT_FALSE(got.x.responded || got.x.timed_out);
  }
  std::latch over{1};
  exchange_limits hasty;
  hasty.first_byte = hasty.total = std::chrono::milliseconds(50);
  const peer p([&](asio::ip::tcp::socket& s) {
    read_head(s);
    over.wait();
  });
  const seen got = run(p, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", hasty, true);
  over.count_down();
  EXPECT_TRUE(got.x.timed_out);
  EXPECT_FALSE(got.x.responded || got.x.too_large);
}

// Rule F8.
TEST(exchange, an_upstream_has_a_name) {
  temp_dir dir;
  running_simulator sim;
  const name_server names([](const std::string& name, int n) -> std::optional<std::vector<std::string>> {
    if (name == "unknown.test") return std::vector<std::string>{};
    if (n > 1) return std::nullopt;
    return std::vector<std::string>{"127.0.0.1"};
  });
  config settings = test_config(dir, "http://sim.test:" + std::to_string(sim.port()));
  settings.dns.servers = {names.at()};
  settings.upstreams.push_back(settings.upstreams[0]);
  settings.upstreams[1].name = "unknown";
  settings.upstreams[1].base = *parse_base_url("http://unknown.test:80");
  running_relay relay(settings);
  const client c = relay.as("me");
  for (int i = 0; i < 10; ++i) {
    const response r = c.post("/dream-machine/v1/generations", R"({"prompt":"job"})");
    ASSERT_EQ(r.status, 201) << r.body;
    wait_for_state(c, "/dream-machine/v1/generations/" + std::string(text_of(r.json().as_object(), "id")),
                   "completed");
  }
  EXPECT_EQ(names.asked("sim.test"), 1);
}

}  // namespace
}  // namespace relay::test
