// How fast the relay goes: what waits, in which order it leaves, how often upstreams are asked, and what a
// clock that jumps does to it.

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

#include "common/base/id.hpp"
#include "server/clock.hpp"
#include "tests/support/luma.hpp"
#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

std::string create(const client& c, const std::string& prompt) {
  const response r = c.post(generations, R"({"prompt":")" + prompt + R"("})");
  EXPECT_EQ(r.status, 201) << r.body;
  return std::string(text_of(r.json().as_object(), "id"));
}

std::vector<std::string> prompts(const running_simulator& sim) {
  std::vector<std::string> out;
  for (const json::value& entry : sim.log().at("creates").as_array()) {
    out.emplace_back(text_of(entry.at("body").as_object(), "prompt"));
  }
  return out;
}

TEST(pace, what_waits_leaves_in_order_as_slots_become_free) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].max_concurrent = 1;
  running_relay relay(settings);
  const client c = relay.as("me");
  std::vector<std::string> asked, ids;
  for (int i = 0; i < 12; ++i) {
    asked.push_back("job " + std::to_string(i));
    ids.push_back(create(c, asked.back()));
  }
  for (const std::string& id : ids) wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_EQ(prompts(sim), asked);
}

// What a poll finds as it was is not written, whatever else is written meanwhile; a restart polls it at once.
TEST(pace, a_poll_without_news_costs_no_write) {
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(3'600'000);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.poll.interval = milliseconds(10);
  const auto polls = [&sim] {
    const json::object log = sim.log();
    std::int64_t n = 0;
    for (const auto& [id, count] : log.at("polls").as_object()) n += count.to_number<std::int64_t>();
    return n;
  };
  // Nothing is saved that would wake a waiting test: it asks, a bounded number of times.
  const auto wait_for_polls = [&polls](std::int64_t wanted) {
    for (int i = 0; i < 20'000 && polls() < wanted; ++i) continue;
    return polls() >= wanted;
  };
  std::string id;
  std::string token;
  {
    running_relay relay(settings);
    token = relay.token("me");
    const client c(relay.port(), token);
    id = create(c, "a job");
    ASSERT_TRUE(wait_for_polls(5));
    const auto writes = [&relay] {
      const std::string text = client(relay.admin_port()).get("/metrics").body;
      return std::stod(text.substr(text.find("\nluma_relay_store_writes_total ") + 31));
    };
    const double before = writes();
    ASSERT_TRUE(wait_for_polls(polls() + 50));
    EXPECT_LE(writes() - before, 2) << "the mark of a living process, and no poll";
    EXPECT_EQ(c.get(generations + "/" + id).status, 200);
  }
  const std::int64_t so_far = polls();
  running_relay again(settings);
  EXPECT_TRUE(wait_for_polls(so_far + 5)) << "it is polled on";
}

TEST(pace, an_outage_of_the_upstream_costs_no_job_and_keeps_the_order) {
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate(sim.port());
  config settings = test_config(dir, gate.url());
  settings.upstreams[0].max_connections = 1;  // one after the other, so that there is an order
  gate.refuse_new();
  running_relay relay(settings);
  const client c = relay.as("me");
  std::vector<std::string> asked, ids;
  for (int i = 0; i < 20; ++i) {
    asked.push_back("job " + std::to_string(i));
    ids.push_back(create(c, asked.back()));
  }
  gate.let_through();
  for (const std::string& id : ids) wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_EQ(sim.created(), 20);
  EXPECT_EQ(prompts(sim), asked);
}

TEST(pace, a_limit_is_learned_from_the_upstream) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.limits = true;  // ten at once; of the twenty a minute fifteen are used
  running_simulator sim(o);
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  std::vector<std::string> ids;
  for (int i = 0; i < 15; ++i) ids.push_back(create(c, "job " + std::to_string(i)));
  for (const std::string& id : ids) wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_EQ(sim.created(), 15);
  EXPECT_LE(sim.log().at("refused").as_int64(), 15) << "it is not hammered";
}

TEST(pace, an_operator_cancels_what_waits) {
  temp_dir dir;
  running_simulator sim;
  tcp_gate gate(sim.port());
  gate.refuse_new();
  running_relay relay(test_config(dir, gate.url()));
  const client c = relay.as("me");
  const std::string id = create(c, "job");
  EXPECT_TRUE(relay.wait_until([&] {  // an attempt may be under way
    return relay.admin("POST", "/jobs/" + id + "/cancel").status == 200 ||
           text_of(c.get(generations + "/" + id).json().as_object(), "state") != "queued";
  }));
  const json::object t = wait_for_state(c, generations + "/" + id, "failed").json().as_object();
  EXPECT_TRUE(text_of(t, "failure_reason").starts_with("Cancelled by the operator"));
  gate.let_through();
  wait_for_state(c, generations + "/" + create(c, "another"), "completed");
  EXPECT_EQ(sim.created(), 1);
  EXPECT_EQ(relay.admin("POST", "/jobs/" + id + "/cancel").status, 409);
}

TEST(pace, an_upstream_that_hangs_delays_only_its_own) {
  temp_dir dir;
  running_simulator first;
  running_simulator second;
  tcp_gate gate(first.port());
  config both = test_config(dir, gate.url());
  both.poll.concurrency = 3;
  both.poll.interval = milliseconds(200);
  both.upstreams[0].max_concurrent = 10;
  upstream_config other = both.upstreams[0];
  other.name = "second";
  other.base = *parse_base_url(second.url());
  other.max_concurrent = 0;
  both.upstreams.push_back(other);
  running_relay relay(both);
  const client c = relay.as("me");
  for (int i = 0; i < 10; ++i) create(c, "hangs " + std::to_string(i));
  gate.hold();
  gate.cut_all();
  const std::string id = create(c, "goes on");
  wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_EQ(second.created(), 1);
  gate.let_through();
}

TEST(pace, an_upstream_is_not_polled_more_often_than_configured) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.poll_delay = milliseconds(30);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].polls_per_second = 60;
  settings.poll.interval = milliseconds(10);
  running_relay relay(settings);
  const client c = relay.as("me");
  std::vector<std::string> ids;
  for (int i = 0; i < 50; ++i) ids.push_back(create(c, "job " + std::to_string(i)));
  for (const std::string& id : ids) wait_for_state(c, generations + "/" + id, "completed");
  const json::object log = sim.log();
  EXPECT_LE(log.at("most_polls_in_a_second").to_number<int>(), 60);
  EXPECT_EQ(log.at("most_polls_of_one_job_at_once"), 1);
}

// Ten thousand open jobs on disk, as a process that died has left them.
void leave_open_jobs(const std::string& path, int jobs) {
  asio::io_context loop;
  store_hooks hooks;
  hooks.post = [&loop](std::move_only_function<void()> f) { asio::post(loop, std::move(f)); };
  auto opened = open_test_store(path, families(), std::move(hooks));
  ASSERT_TRUE(opened) << opened.error().log.text;
  store& s = **opened;
  int left = jobs;
  account owner;
  owner.name = "old";
  s.write_account(owner, nullptr, [](result<account> r) { ASSERT_TRUE(r); });
  const timestamp then = now() - std::chrono::minutes(5);
  for (int i = 0; i < jobs; ++i) {
    task t = luma_task();
    id_entropy random{};
    random[8] = static_cast<unsigned char>(i >> 8);
    random[9] = static_cast<unsigned char>(i);
    t.id = make_id(then, random);
    t.owner = 1;
    t.request = R"({"prompt":"a job from before","aspect_ratio":"16:9"})";
    t.state = task_state::queued;
    t.upstream = "sim";
    t.upstream_id = "u-" + std::to_string(i);
    t.reply = R"({"id":"u","state":"queued"})";
    t.created_at = t.updated_at = t.started_at = then;
    t.next_poll_at = then;
    t.deadline = now() + std::chrono::hours(1);
    s.write({nullptr, std::move(t), std::nullopt}, [&left](result<written_change> r) {
      ASSERT_TRUE(r) << r.error().log.text;
      --left;
    });
  }
  auto working = asio::make_work_guard(loop);
  while (left > 0) loop.run_one();
  s.close();
}

TEST(pace, a_restart_with_ten_thousand_open_jobs_is_no_storm) {
  constexpr int jobs = 10'000;
  temp_dir dir;
  sim::options o;
  o.poll_delay = milliseconds(5);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].polls_per_second = 2'000;
  settings.poll.interval = milliseconds(3'600'000);
  settings.poll.not_found_limit = 1'000;  // the simulator knows none of them
  settings.poll.retry_max = milliseconds(3'600'000);
  leave_open_jobs(settings.storage.path, jobs);
  const auto started = steady_clock::now();
  running_relay relay(settings);
  EXPECT_EQ(relay.as_nobody().get("/readyz").status, 200);
  RecordProperty("ready_after_ms",
                 static_cast<int>((steady_clock::now() - started) / std::chrono::milliseconds(1)));
  json::object log;
  relay.wait_until(
      [&] {
        log = sim.log();
        return log.at("polls").as_object().size() >= jobs;
      },
      std::chrono::seconds(90));
  EXPECT_EQ(log.at("polls").as_object().size(), static_cast<std::size_t>(jobs)) << "each is polled";
  for (const auto& [id, polls] : log.at("polls").as_object()) EXPECT_EQ(polls, 1) << id;
  EXPECT_LE(log.at("most_polls_in_a_second").to_number<int>(), 2'000);
  EXPECT_EQ(log.at("most_polls_of_one_job_at_once"), 1);
}

// The wall clock, moved by a test.
std::atomic<std::int64_t> clock_moved_by{0};  // seconds
timestamp moved_clock() {
  return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()) +
         std::chrono::seconds(clock_moved_by.load());
}

// The wall clock is the moved one as long as this lives; made before any relay, gone after all.
struct movable_clock {
  movable_clock() { wall_clock = moved_clock; }
  ~movable_clock() {
    clock_moved_by = 0;
    wall_clock = before;
  }
  movable_clock(const movable_clock&) = delete;
  movable_clock& operator=(const movable_clock&) = delete;

  timestamp (*const before)() = wall_clock;
};

// Rule F5.
// Rule M11: jobs that wait for an upstream have their time again when the relay is back.
TEST(pace, downtime_does_not_count_against_deadlines) {
  const movable_clock clock;
  {
    temp_dir dir;
    running_simulator sim;
    tcp_gate gate(sim.port());
    gate.refuse_new();
    config settings = test_config(dir, gate.url());
    settings.submit.deadline = milliseconds(60'000);
    std::vector<std::string> ids;
    std::string token;
    {
      running_relay relay(settings);
      token = relay.token("me");
      const client c(relay.port(), "Bearer " + token);
      for (int i = 0; i < 12; ++i) ids.push_back(create(c, "job"));
    }
    clock_moved_by = 8 * 3'600;  // the relay was off for a night
    running_relay relay(settings);
    const client c(relay.port(), "Bearer " + token);
    gate.let_through();
    for (const std::string& id : ids) wait_for_state(c, generations + "/" + id, "completed");
  }
}

// Rule M11: the same for a suspend, and afterwards what the relay says about times is true again.
TEST(pace, a_suspend_costs_no_job_and_the_time_is_right_again) {
  const movable_clock clock;
  {
    temp_dir dir;
    running_simulator sim;
    tcp_gate gate(sim.port());
    gate.refuse_new();
    config settings = test_config(dir, gate.url());
    settings.submit.deadline = milliseconds(60'000);
    running_relay relay(settings);
    const client c = relay.as("me");
    std::vector<std::string> ids;
    for (int i = 0; i < 12; ++i) ids.push_back(create(c, "job"));
    clock_moved_by = 8 * 3'600;
    // Attempts go on, and say when.
    const auto shown = [&](const std::string& id) {
      const json::value r = relay.admin("GET", "/jobs/" + id).json();
      return from_iso(text_of(r.as_object(), "attempted_at")).value_or(never);
    };
    const auto is_right = [](timestamp t) { return wall_clock() - t < std::chrono::seconds(5); };
    EXPECT_TRUE(relay.wait_until([&] {
      return std::ranges::any_of(ids, [&](const std::string& id) { return is_right(shown(id)); });
    }));
    const json::object made = c.get(generations + "/" + create(c, "a later job")).json().as_object();
    EXPECT_TRUE(is_right(*from_iso(text_of(made, "created_at")))) << text_of(made, "created_at");
    gate.let_through();
    for (const std::string& id : ids) wait_for_state(c, generations + "/" + id, "completed");
  }
}

TEST(pace, a_clock_that_jumps_neither_bursts_nor_stalls) {
  const movable_clock clock;
  {
    temp_dir dir;
    sim::options o;
    o.queued_for = std::chrono::hours(24 * 365);
    running_simulator sim(o);
    config settings = test_config(dir, sim.url());
    settings.poll.interval = milliseconds(50);
    running_relay relay(settings);
    const client c = relay.as("me");
    const std::string id = create(c, "job");
    const auto polls = [&] {
      std::int64_t n = 0;
      for (const auto& [job, count] : sim.log().at("polls").as_object()) n += count.as_int64();
      return n;
    };
    for (const std::int64_t jump : {86'400, -2 * 86'400, 10 * 86'400, 0}) {
      clock_moved_by = jump;
      const std::int64_t seen = polls();
      // A poll without news saves nothing that would wake a waiting test.
      for (int i = 0; i < 20'000 && polls() < seen + 10; ++i) continue;
      EXPECT_GE(polls(), seen + 10) << "it stalled after " << jump;
      EXPECT_EQ(text_of(c.get(generations + "/" + id).json().as_object(), "state"), "queued")
          << "its deadline has not passed after " << jump;
    }
    EXPECT_LE(sim.log().at("most_polls_in_a_second").to_number<int>(), 40) << "it burst";
    // New jobs go through as ever.
    wait_for_state(c, generations + "/" + create(c, "#refuse-429"), "queued");
  }
}

}  // namespace
}  // namespace relay::test
