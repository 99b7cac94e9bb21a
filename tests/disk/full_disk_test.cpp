// The disk fills up under load: what was acknowledged is not lost, questions are answered, new jobs are
// refused, and when there is room again it goes on by itself. Run by full_disk.sh, with SMALL_DISK a file
// system of its own.

#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "tests/support/pictures.hpp"
#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

std::int64_t room_in(const std::string& folder) {
  struct statvfs s{};
  EXPECT_EQ(::statvfs(folder.c_str(), &s), 0);
  return static_cast<std::int64_t>(s.f_bavail) * static_cast<std::int64_t>(s.f_frsize);
}

// Takes all the room but `leave` bytes.
void fill(const std::string& folder, std::int64_t leave) {
  std::ofstream out(folder + "/filler", std::ios::binary | std::ios::app);
  const std::string block(4096, 'f');
  while (room_in(folder) > leave &&
         out.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
  }
}

struct full_disk : ::testing::Test {
  full_disk() {
    const char* at = std::getenv("SMALL_DISK");
    if (at == nullptr) throw std::runtime_error("run by full_disk.sh");
    folder = std::string(at) + "/" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directory(folder);
    settings = test_config(elsewhere, sim.url());
    settings.storage.path = folder + "/relay.db";
    settings.poll.interval = milliseconds(200);
  }
  ~full_disk() override { std::filesystem::remove_all(folder); }

  temp_dir elsewhere;
  running_simulator sim;
  std::string folder;
  config settings;
};

TEST_F(full_disk, the_watermark_comes_first) {
  running_relay relay(settings);
  const client c = relay.as("me");
  const auto create = [&] { return c.post(generations, R"({"prompt":"abc"})"); };
  const std::string id(text_of(create().json().as_object(), "id"));
  EXPECT_TRUE(std::filesystem::exists(settings.storage.path + ".ballast"));
  fill(folder, 512 * 1024);  // a twentieth of the disk is more
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  response refused = create();
  while (refused.status == 201 && std::chrono::steady_clock::now() < give_up) refused = create();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("retry-after"), "30");
  EXPECT_NE(refused.body.find("disk is nearly full"), std::string::npos) << refused.body;
  EXPECT_EQ(c.get(generations + "/" + id).status, 200);
  EXPECT_EQ(c.post("/luma/tasks", R"({"ids":[")" + id + R"("]})").status, 200);
  const response ready = relay.as_nobody().get("/readyz");
  EXPECT_EQ(ready.status, 200);
  EXPECT_EQ(ready.json().as_object().at("takes_jobs"), false);
  wait_for_state(c, generations + "/" + id, "completed");  // what is in flight is finished

  std::filesystem::remove(folder + "/filler");
  while (create().status != 201 && std::chrono::steady_clock::now() < give_up) {
  }
  EXPECT_EQ(create().status, 201) << "it recovers by itself";
}

// Somebody else fills the disk while jobs wait, and frees it again: every one of them comes to its end.
TEST_F(full_disk, what_waits_goes_on_when_there_is_room_again) {
  tcp_gate gate(sim.port());
  settings.upstreams[0].base = *parse_base_url(gate.url());
  settings.upstreams[0].max_concurrent = 64;
  settings.submit.deadline = milliseconds(600'000);
  gate.refuse_new();
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string body = R"({"prompt":")" + std::string(500, 'x') + R"("})";
  const auto count_of = [&](const std::string& state) {
    const std::string text = client(relay.admin_port()).get("/metrics").body;
    const std::string name = "luma_relay_tasks{state=\"" + state + "\"} ";
    const auto at = text.find(name);
    return at == std::string::npos ? 0 : std::stoll(text.substr(at + name.size()));
  };
  std::int64_t taken = 0;
  while (taken < 1'500 && c.post(generations, body).status == 201) ++taken;
  EXPECT_GT(taken, 300) << "the watermark leaves room for some";
  // The relay's own files leave enough for all of them to end, or there is none at all.
  fill(folder, 0);
  gate.let_through();
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  // It tries, and meets the end of the disk.
  while (c.post(generations, body).status == 201) {
  }
  const auto tried = std::chrono::steady_clock::now() + std::chrono::seconds(3);
  while (std::chrono::steady_clock::now() < tried) c.get("/dream-machine/v1/ping");
  std::filesystem::remove(folder + "/filler");
  while (count_of("completed") < taken && std::chrono::steady_clock::now() < give_up)
    c.get("/dream-machine/v1/ping");
  const auto ended = count_of("completed");
  std::printf("%lld jobs waited while the disk was full, %lld of them completed\n",
              static_cast<long long>(taken), static_cast<long long>(ended));
  EXPECT_GE(ended, taken);
  EXPECT_EQ(count_of("pending") + count_of("submitting"), 0);
}

// The disk of the files of clients is full: requests with a file are refused and leave nothing behind, with a
// reserve for the database and without; all else goes on.
TEST_F(full_disk, files_of_clients_find_no_room) {
  for (const std::int64_t kept_free : {std::int64_t{0}, std::int64_t{256} << 20}) {
    settings.storage.path = elsewhere.file(std::to_string(kept_free) + ".db");
    settings.storage.min_free_bytes = kept_free;
    settings.assets.path = folder + "/assets" + std::to_string(kept_free);
    settings.server.public_url = "http://relay.test";
    running_relay relay(settings);
    const client c = relay.as("me");
    const std::string body = R"({"user_prompt":"abc","image_url":")" + data_uri(png(4'000'000)) + "\"}";
    const auto files = [&] {
      std::int64_t n = 0;
      for (const auto& e : std::filesystem::recursive_directory_iterator(settings.assets.path))
        n += e.is_regular_file();
      return n;
    };
    const std::int64_t before = sim.created();
    ASSERT_EQ(c.post("/luma/generations", body).status, 201);
    EXPECT_EQ(files(), 2);
    fill(folder, 2'000'000);
    for (int i = 0; i < 3; ++i) {
      const response full = c.post("/luma/generations", body);
      EXPECT_EQ(full.status, 507) << full.body;
      EXPECT_EQ(full.header("retry-after"), "60");
    }
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (files() > 2 && std::chrono::steady_clock::now() < give_up) c.get("/dream-machine/v1/ping");
    EXPECT_EQ(files(), 2) << "what did not fit is gone";
    EXPECT_EQ(c.post(generations, R"({"prompt":"abc"})").status, 201) << "jobs without a file go on";
    std::filesystem::remove(folder + "/filler");
    EXPECT_EQ(c.post("/luma/generations", body).status, 201);
    EXPECT_EQ(sim.created() - before, 3);
    std::filesystem::remove_all(settings.assets.path);
  }
}

// The relay's own files never grow to where what it has taken cannot end.
TEST_F(full_disk, the_relay_itself_does_not_fill_it) {
  settings.upstreams[0].max_concurrent = 64;
  settings.submit.deadline = milliseconds(600'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string body = R"({"prompt":")" + std::string(4'000, 'x') + R"("})";
  std::vector<std::string> taken;
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (int refused = 0; refused < 20 && std::chrono::steady_clock::now() < give_up;) {
    const response r = c.post(generations, body);
    if (r.status == 201) taken.emplace_back(text_of(r.json().as_object(), "id"));
    if (r.status != 201) {
      ++refused;
      EXPECT_EQ(r.status, 503) << r.body;
      EXPECT_NE(r.body.find("nearly full"), std::string::npos)
          << "refused before the disk is full: " << r.body;
    }
  }
  std::printf("%zu jobs taken on a disk of 24 MiB, %lld KiB left\n", taken.size(),
              static_cast<long long>(room_in(folder) / 1024));
  EXPECT_GT(taken.size(), 100u);
  for (const std::string& id : taken) wait_for_state(c, generations + "/" + id, "completed");
}

// Without a watermark: every write meets the end of the disk.
TEST_F(full_disk, nothing_that_was_acknowledged_is_lost) {
  settings.storage.min_free_bytes = 0;
  std::vector<std::string> acknowledged;
  std::string token;
  {
    running_relay relay(settings);
    token = relay.token("me");
    fill(folder, 3 * 1024 * 1024);
    std::mutex mutex;
    std::atomic<int> refused = 0;
    std::atomic<bool> over = false;
    {
      std::vector<std::jthread> load;
      for (int i = 0; i < 4; ++i) {
        load.emplace_back([&] {
          const client c(relay.port(), token);
          const std::string body = R"({"prompt":")" + std::string(2'000, 'x') + R"("})";
          while (!over && refused < 40) {
            const response r = c.post(generations, body);
            if (r.status == 201) {
              const std::lock_guard lock(mutex);
              acknowledged.emplace_back(text_of(r.json().as_object(), "id"));
              if (acknowledged.size() >= 20'000) over = true;
            } else {
              EXPECT_EQ(r.status, 503) << r.body;
              ++refused;
            }
          }
        });
      }
    }
    EXPECT_GE(refused, 40) << "the disk never filled up";
    const client c(relay.port(), token);
    for (std::size_t i = 0; i < acknowledged.size(); i += 1 + acknowledged.size() / 50) {
      EXPECT_EQ(c.get(generations + "/" + acknowledged[i]).status, 200) << "questions are answered";
    }
    std::filesystem::remove(folder + "/filler");
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (c.post(generations, R"({"prompt":"abc"})").status != 201 &&
           std::chrono::steady_clock::now() < give_up) {
    }
    EXPECT_EQ(c.post(generations, R"({"prompt":"abc"})").status, 201) << "it recovers by itself";
    // And what was acknowledged comes to its end.
    for (std::size_t i = 0; i < acknowledged.size(); i += 1 + acknowledged.size() / 20) {
      wait_for_state(c, generations + "/" + acknowledged[i], "completed");
    }
  }
  running_relay again(settings);
  const client c(again.port(), token);
  std::size_t lost = 0;
  for (const std::string& id : acknowledged) lost += c.get(generations + "/" + id).status != 200;
  std::printf("%zu jobs acknowledged on a disk that filled up, %zu lost\n", acknowledged.size(), lost);
  EXPECT_EQ(lost, 0u);
  EXPECT_GT(acknowledged.size(), 10u);
}

}  // namespace
}  // namespace relay::test
