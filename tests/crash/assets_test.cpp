// Files of clients in a process that is killed, and what many of them at once cost it.

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "tests/support/child_relay.hpp"
#include "tests/support/pictures.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

namespace fs = std::filesystem;

const std::string web_app = "/luma/generations";

struct asset_process : ::testing::Test {
  // `more`: the section [assets].
  void start(const std::string& more) {
    relay = std::make_unique<child_relay>(dir, free_port(), sim.url(), "[assets]\n" + more);
    ASSERT_TRUE(relay->start()) << relay->log_tail();
    const std::string text = relay->command("token create --name me");
    token = text.substr(0, text.find('\n'));
  }
  client me() const { return client(relay->port(), "Bearer " + token); }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& e : fs::recursive_directory_iterator(dir.file("relay.db.assets"))) {
      if (e.is_regular_file()) out.push_back(e.path().filename());
    }
    return out;
  }
  bool becomes(const std::function<bool()>& holds) const {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      me().get("/healthz");
    }
    return true;
  }

  temp_dir dir;
  running_simulator sim;
  std::unique_ptr<child_relay> relay;
  std::string token;
};

std::string create_with(const std::string& bytes) {
  return R"({"user_prompt":"abc","image_url":")" + data_uri(bytes) + "\"}";
}

// Killed while a file arrives: what there is of it is gone with the next start.
TEST_F(asset_process, half_a_file_does_not_survive) {
  start("");
  const std::string body = create_with(png(3'000'000));
  connection c(relay->port());
  c.send("POST " + web_app + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body.substr(0, 2'000'000));
  ASSERT_TRUE(becomes([this] { return names().size() == 1; }));
  relay->kill();
  EXPECT_EQ(names().size(), 1u);
  ASSERT_TRUE(relay->start()) << relay->log_tail();
  EXPECT_EQ(names().size(), 0u);
  EXPECT_EQ(sim.created(), 0);
}

// Killed between the file and its job: the job does not exist, and the file goes when its time is over.
TEST_F(asset_process, a_file_without_its_job_goes) {
  start("keep_ms = 2000");
  relay->kill();
  ASSERT_TRUE(relay->start("1 files kept, no job")) << relay->log_tail();
  EXPECT_THROW(me().post(web_app, create_with(png(200'000))), std::exception);
  relay->wait();
  EXPECT_EQ(names().size(), 2u) << "the file, and whose job it was for";
  ASSERT_TRUE(relay->start()) << relay->log_tail();
  EXPECT_EQ(sim.created(), 0);
  EXPECT_TRUE(becomes([this] { return names().empty(); }));
}

// Killed after the response: file and job are there.
TEST_F(asset_process, a_file_with_its_job_stays) {
  start("");
  const std::string bytes = png(200'000);
  const response r = me().post(web_app, create_with(bytes));
  ASSERT_EQ(r.status, 201) << r.body;
  relay->kill();
  ASSERT_TRUE(relay->start()) << relay->log_tail();
  const std::string url(view(r.json().at("request").at("keyframes").at("frame0").at("url").as_string()));
  ASSERT_TRUE(url.starts_with(relay->url()));
  EXPECT_TRUE(me().get(url.substr(relay->url().size())).body == bytes);
  const std::string id(view(r.json().at("id").as_string()));
  EXPECT_EQ(wait_for_state(me(), web_app + "/" + id, "completed").status, 200);
  EXPECT_EQ(sim.created(), 1);
}

// Its highest resident size so far, in bytes.
std::int64_t peak(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; in >> word;) {
    std::int64_t kib = 0;
    if (word == "VmHWM:" && in >> kib) return kib * 1024;
  }
  return 0;
}

// AddressSanitizer keeps what is freed for a while.
#if __has_feature(address_sanitizer)
constexpr std::int64_t most_growth = std::int64_t{1} << 40;
constexpr int usual_uploads = 64;
#else
constexpr std::int64_t most_growth = std::int64_t{64} << 20;
constexpr int usual_uploads = 100;
#endif

// Pictures of 5 MB at 32 connections; RELAY_UPLOADS sets how many (1,000 take 5 GB of disk).
TEST_F(asset_process, memory_does_not_grow_with_pictures) {
  const char* set = std::getenv("RELAY_UPLOADS");
  const int all = set != nullptr ? std::atoi(set) : usual_uploads;
  start("max_bytes_per_account = 20000000000\nmax_bytes = 20000000000\nkeep_ms = 600000");
  ASSERT_EQ(me().post(web_app, create_with(png(100'000))).status, 201);
  const std::string body = create_with(png(5'000'000));
  const std::int64_t before = peak(relay->pid());
  const auto started = std::chrono::steady_clock::now();
  std::atomic<int> next = 0;
  std::atomic<int> created = 0;
  const auto work = [&] {
    while (next++ < all) created += me().post(web_app, body).status == 201;
  };
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 32; ++i) clients.emplace_back(work);
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const std::int64_t growth = peak(relay->pid()) - before;
  std::printf("%d creates with a picture of 5 MB, 32 connections: %+lld KiB at most, %.1f s\n", all,
              static_cast<long long>(growth / 1024), seconds);
  EXPECT_EQ(created, all);
  EXPECT_EQ(sim.created(), all + 1);
  EXPECT_LT(growth, most_growth);
}

}  // namespace
}  // namespace relay::test
