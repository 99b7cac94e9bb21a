// What a client can make the relay keep in memory, seen from outside the process (rule R1).

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <memory>

#include "server/descriptors.hpp"
#include "tests/support/child_relay.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

// Of a process, in bytes.
std::int64_t resident(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/statm");
  std::int64_t size = 0;
  std::int64_t pages = 0;
  in >> size >> pages;
  return pages * 4096;
}

struct memory : ::testing::Test {
  memory() : relay(dir, free_port(), sim.url(), "") {
    raise_descriptor_limit();  // for the connections of the test itself
    EXPECT_TRUE(relay.start()) << relay.log_tail();
    std::string text = relay.command("token create --name me");
    token = text.substr(0, text.find('\n'));
  }
  std::string head(const std::string& method, const std::string& target, const std::string& with) const {
    return method + " " + target + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + with + "\r\n";
  }
  // Others are answered meanwhile; the longest of these is told.
  void expect_ping() {
    const auto started = std::chrono::steady_clock::now();
    EXPECT_EQ(client(relay.port(), "Bearer " + token).get("/dream-machine/v1/ping").status, 200);
    longest_ping = std::max(longest_ping, std::chrono::steady_clock::now() - started);
  }
  void tell(const char* what, std::int64_t growth) const {
    std::printf("%s: %+lld KiB, longest ping %.1f ms\n", what, static_cast<long long>(growth / 1024),
                std::chrono::duration<double, std::milli>(longest_ping).count());
  }

  std::chrono::steady_clock::duration longest_ping{0};
  temp_dir dir;
  running_simulator sim;
  child_relay relay;
  std::string token;
};

// AddressSanitizer keeps what is freed for a while.
#if __has_feature(address_sanitizer)
constexpr std::int64_t most_growth = std::int64_t{1} << 40;
#else
constexpr std::int64_t most_growth = std::int64_t{64} << 20;
#endif

TEST_F(memory, bodies_without_a_token_are_not_kept) {
  expect_ping();
  const std::int64_t before = resident(relay.pid());
  const std::string part(200'000, ' ');
  std::vector<std::unique_ptr<connection>> open;
  std::int64_t most = 0;
  // Half of them with a head that promises a megabyte, half in chunks.
  for (int i = 0; i < 1'000; ++i) {
    open.push_back(std::make_unique<connection>(relay.port()));
    open.back()->send(head("POST", generations, "wrong") +
                      (i % 2 == 0 ? "Content-Length: 1048576\r\n\r\n" + part
                                  : "Transfer-Encoding: chunked\r\n\r\n30d40\r\n" + part));
    if (i % 50 == 0) {
      most = std::max(most, resident(relay.pid()) - before);
      expect_ping();
    }
  }
  most = std::max(most, resident(relay.pid()) - before);
  tell("1,000 bodies of 1 MiB without a token", most);
  EXPECT_LT(most, most_growth);
  EXPECT_EQ(open[0]->receive().status, 401);
  EXPECT_EQ(open[1]->receive().status, 401);
}

TEST_F(memory, lists_that_nobody_reads_cost_a_part_each) {
  // A megabyte each: what the upstream says of a job is kept whole.
  const client me(relay.port(), "Bearer " + token);
  const std::string pad = "#pad-170000 ";
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    const response r = me.post(generations, R"({"prompt":")" + pad + std::to_string(i) + "\"}");
    ASSERT_EQ(r.status, 201) << r.body.substr(0, 300);
    ids.emplace_back(text_of(r.json().as_object(), "id"));
  }
  for (const std::string& id : ids) wait_for_state(me, generations + "/" + id, "completed");
  const response whole = me.get(generations);
  ASSERT_EQ(whole.status, 200);
  ASSERT_GT(whole.body.size(), 15'000'000u) << "the jobs are as large as they should be";

  const std::int64_t before = resident(relay.pid());
  std::vector<std::unique_ptr<connection>> open;
  std::int64_t most = 0;
  for (int i = 0; i < 200; ++i) {
    open.push_back(std::make_unique<connection>(relay.port()));
    open.back()->send(head("GET", generations, token) + "\r\n");
    if (i % 10 == 0) {
      most = std::max(most, resident(relay.pid()) - before);
      expect_ping();
    }
  }
  expect_ping();
  most = std::max(most, resident(relay.pid()) - before);
  tell("200 unread lists of 20 jobs of 1 MB", most);
  EXPECT_LT(most, most_growth);
  // Whoever begins to read in the end gets it whole.
  EXPECT_EQ(open[7]->receive().body, whole.body);
}

}  // namespace
}  // namespace relay::test
