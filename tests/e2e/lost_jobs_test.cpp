// Nothing that an upstream has made is thrown away: lists that are long, large, odd, late or down, upstreams
// that create a job after they have cut the connection, stations without a list, floods of 404.

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/receiver.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

std::string create(const client& c, const std::string& prompt, const std::string& more = {}) {
  const response r = c.post(generations, R"({"prompt":")" + prompt + R"(","model":"ray-2")" + more + "}");
  EXPECT_EQ(r.status, 201) << r.body;
  return std::string(text_of(r.json().as_object(), "id"));
}

std::string state_of(const client& c, const std::string& id) {
  return std::string(text_of(c.get(generations + "/" + id).json().as_object(), "state"));
}

json::object shown_to_operator(running_relay& relay, const std::string& id) {
  return relay.admin("GET", "/jobs/" + id).json().as_object();
}

// Jobs of somebody else at the same upstream.
void add_foreign_jobs(const running_simulator& sim, int count) {
  const client c(sim.port(), "Bearer luma-sim-key");
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(c.post(generations, R"({"prompt":"somebody else's","model":"ray-2"})").status, 201);
}

// The upstream's list, and how many jobs of others stand before the lost one.
struct hard_list {
  const char* what;
  sim::options upstream{};
  int jobs_before = 130;
};

sim::options with(void (*set)(sim::options&)) {
  sim::options o = running_simulator::stepping();
  set(o);
  return o;
}

const hard_list hard_lists[] = {
    {"long", with([](sim::options&) {}), 250},
    {"its pages are short", with([](sim::options& o) { o.list_page = 25; })},
    {"its pages are short and it does not say that there are more", with([](sim::options& o) {
       o.list_page = 25;
       o.list_says_more = false;
     })},
    {"a page of it is longer than 64 MiB", with([](sim::options& o) { o.list_padding = 1024 * 1024; }), 105},
    {"deeply nested", with([](sim::options& o) { o.list_depth = 64; })},
    {"far deeper than clients may send", with([](sim::options& o) { o.list_depth = 200; }), 20},
    {"some items are none", with([](sim::options& o) { o.list_odd = 7; })},
    {"every third request fails", with([](sim::options& o) {
       o.list_page = 25;
       o.list_fails = 33;
     })},
    {"each page says that it is the last", with([](sim::options& o) {
       o.list_page = 25;
       o.list_lies = sim::options::lie::ends_early;
     })},
    {"it begins with the oldest", with([](sim::options& o) {
       o.list_page = 25;
       o.list_lies = sim::options::lie::oldest_first;
     })},
    {"jobs go while it is read", with([](sim::options& o) { o.list_shrinks = 60; }), 120},
};

class lists : public ::testing::TestWithParam<hard_list> {};

// Rule M9: the lost job is behind the jobs of others, and is found all the same.
TEST_P(lists, show_the_lost_job) {
  const hard_list& row = GetParam();
  temp_dir dir;
  running_simulator sim(row.upstream);
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "http://127.0.0.1:9";  // nobody calls there
  settings.submit.reconcile_deadline = milliseconds(60'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  sim.list_is_down(true);
  const std::string id = create(c, "#cut");
  add_foreign_jobs(sim, row.jobs_before);
  sim.list_is_down(false);
  wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_EQ(sim.created(), row.jobs_before + 1);
}

std::string name_of_list(const ::testing::TestParamInfo<hard_list>& info) {
  std::string name;
  for (const char ch : std::string(info.param.what)) name += std::isalnum(ch) != 0 ? ch : '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(lost_jobs, lists, ::testing::ValuesIn(hard_lists), name_of_list);

// Rule M10: lists that were read before the upstream made the job do not prove that it never will.
TEST(lost_jobs, one_that_is_made_after_the_cut_is_not_submitted_again) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "http://127.0.0.1:9";
  settings.submit.settle = milliseconds(400);
  settings.submit.reconcile_deadline = milliseconds(20'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  wait_for_state(c, generations + "/" + create(c, "a job that shows that markers are echoed"), "completed");
  const std::string id = create(c, "#late-500");  // later than one settling time
  const std::jthread others([&](const std::stop_token& stop) {
    for (int i = 0; i < 100 && !stop.stop_requested(); ++i)
      wait_for_state(c, generations + "/" + create(c, "another job"), "completed");
  });
  wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_EQ(shown_to_operator(relay, id).at("attempts").to_number<int>(), 1);
}

// Rule M10: a list shows nothing of the time after its newest job of ours.
TEST(lost_jobs, a_stale_list_proves_nothing) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.list_lag = milliseconds(3'000);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "http://127.0.0.1:9";
  settings.submit.settle = milliseconds(200);
  settings.submit.reconcile_deadline = milliseconds(20'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  wait_for_state(c, generations + "/" + create(c, "a job that shows that markers are echoed"), "completed");
  const std::string id = create(c, "#cut");
  wait_for_state(c, generations + "/" + create(c, "one that the list does not show yet"), "completed");
  wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_EQ(shown_to_operator(relay, id).at("attempts").to_number<int>(), 1);
}

// Rule M10: a list whose times are wrong does not say how far back it reaches: the lost job is on a later
// page.
TEST(lost_jobs, a_list_with_wrong_times_proves_nothing) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.list_page = 25;
  o.list_lies = sim::options::lie::hours_early;
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "http://127.0.0.1:9";
  settings.submit.settle = milliseconds(200);
  running_relay relay(settings);
  const client c = relay.as("me");
  wait_for_state(c, generations + "/" + create(c, "a job that shows that markers are echoed"), "completed");
  sim.list_is_down(true);
  const std::string id = create(c, "#cut");
  add_foreign_jobs(sim, 60);
  sim.list_is_down(false);
  {
    const std::jthread others([&](const std::stop_token& stop) {
      for (int i = 0; i < 15 && !stop.stop_requested(); ++i)
        wait_for_state(c, generations + "/" + create(c, "another job"), "completed");
    });
    wait_for_state(c, generations + "/" + id, "failed");
  }
  EXPECT_EQ(shown_to_operator(relay, id).at("attempts").to_number<int>(), 1);
}

// Rule M9: told "failed" when the search ends, and completed when the list is there again.
TEST(lost_jobs, one_that_is_found_after_it_has_failed_is_completed) {
  temp_dir dir;
  running_simulator sim;
  receiver hook;
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "http://127.0.0.1:9";
  settings.submit.reconcile_deadline = milliseconds(300);
  settings.poll.late_interval = milliseconds(100);
  running_relay relay(settings);
  const client c = relay.as("me");
  sim.list_is_down(true);
  const std::string id = create(c, "#cut", R"(,"callback_url":")" + hook.url() + R"(")");
  wait_for_state(c, generations + "/" + id, "failed");
  EXPECT_EQ(hook.wait_for(1).at(0).state(), "failed");
  sim.list_is_down(false);
  wait_for_state(c, generations + "/" + id, "completed");
  const auto sent = hook.wait_for(2);
  EXPECT_EQ(sent.at(1).state(), "completed");
  EXPECT_EQ(sim.created(), 1);
}

// Rule M13: a station has no list. Its callback names the job, and that is enough to ask about it.
TEST(lost_jobs, a_stations_callback_finds_its_lost_answer) {
  temp_dir dir;
  sim::options o;
  o.protocol = "station";
  o.queued_for = milliseconds(50);
  o.dreams_for = milliseconds(200);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].protocol = "station";
  std::uint16_t port = 0;
  {
    running_relay first(settings);  // its address is known only when it listens
    port = first.port();
  }
  settings.server.listen = "127.0.0.1:" + std::to_string(port);
  settings.server.public_url = "http://127.0.0.1:" + std::to_string(port);
  settings.submit.reconcile_deadline = milliseconds(20'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  for (const char* prompt : {"#cut", "#answer-502", "#garbage"})
    wait_for_state(c, generations + "/" + create(c, prompt), "completed");
  EXPECT_EQ(sim.created(), 3);
}

// Two lost ones with the same prompt: each callback is about its own.
TEST(lost_jobs, a_callback_that_names_the_job_of_another_task_is_not_believed) {
  temp_dir dir;
  auto o = running_simulator::stepping();
  o.protocol = "station";
  o.silent = true;
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].protocol = "station";
  settings.server.public_url = "http://127.0.0.1:9";
  settings.submit.reconcile_deadline = milliseconds(20'000);
  running_relay relay(settings);
  const client c = relay.as("me");
  const std::string taken = create(c, "a job");
  wait_for_state(c, generations + "/" + taken, "completed");
  const std::string id = create(c, "#cut a job");
  const auto log = sim.log();
  const auto& creates = log.at("creates").as_array();
  const auto call = [&](const json::value& about, const std::string& upstream_id) {
    const std::string url(text_of(about.at("body").as_object(), "notify_hook"));
    const std::string path = url.substr(url.find("/callbacks/"));
    EXPECT_EQ(relay.as_nobody().post(path, R"({"id":")" + upstream_id + R"(","state":"completed"})").status,
              200);
  };
  const std::string first(text_of(creates.at(0).as_object(), "id"));
  const std::string second(text_of(creates.at(1).as_object(), "id"));
  call(creates.at(1), first);            // another task has it
  call(creates.at(1), "no-such-job");    // the upstream does not know it
  call(creates.at(1), "../../credits");  // no id at all
  EXPECT_EQ(state_of(c, id), "queued");
  EXPECT_EQ(text_of(shown_to_operator(relay, id), "upstream_id"), "");
  call(creates.at(1), second);
  wait_for_state(c, generations + "/" + id, "completed");
  EXPECT_EQ(text_of(shown_to_operator(relay, id), "upstream_id"), second);
  const std::string story = json::serialize(shown_to_operator(relay, id).at("story"));
  EXPECT_NE(story.find("upstream sim called about it"), std::string::npos) << story;
}

// Rule M9: an upstream that knows no job any more is out of order.
TEST(lost_jobs, a_flood_of_404_is_an_outage) {
  const struct {
    sim::simulator::amnesia how;
    bool list_is_down;
  } table[] = {{sim::simulator::amnesia::polls, true},
               {sim::simulator::amnesia::polls, false},  // which shows all of them
               {sim::simulator::amnesia::gateway, false}};
  for (const auto& row : table) {
    temp_dir dir;
    sim::options o;
    o.queued_for = milliseconds(0);
    o.dreams_for = milliseconds(700);
    running_simulator sim(o);
    config settings = test_config(dir, sim.url());
    settings.poll.interval = milliseconds(10);
    settings.poll.retry_max = milliseconds(10);
    settings.poll.not_found_limit = 3;
    settings.poll.not_found_for = milliseconds(100);
    running_relay relay(settings);
    const client c = relay.as("me");
    wait_for_state(c, generations + "/" + create(c, "one that is well"), "completed");
    sim.list_is_down(row.list_is_down);
    sim.forget_jobs(row.how);
    const auto polls = [&] {
      const auto log = sim.log();
      std::int64_t n = 0;
      for (const auto& [upstream_id, count] : log.at("polls").as_object())
        n += count.to_number<std::int64_t>();
      return n;
    };
    const std::int64_t before = polls();
    const std::string id = create(c, "a job");
    ASSERT_TRUE(relay.wait_until([&] { return polls() > before + 30; }));
    EXPECT_NE(state_of(c, id), "failed");
    sim.forget_jobs(sim::simulator::amnesia::none);
    wait_for_state(c, generations + "/" + id, "completed");
  }
}

// The same of one that shows its list well: this job is gone, and is asked about on all the same.
TEST(lost_jobs, one_that_the_upstream_forgot_alone_fails_and_may_still_complete) {
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(0);
  o.dreams_for = milliseconds(300);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.poll.interval = milliseconds(10);
  settings.poll.retry_max = milliseconds(10);
  settings.poll.not_found_limit = 3;
  settings.poll.not_found_for = milliseconds(100);
  settings.poll.late_interval = milliseconds(50);
  running_relay relay(settings);
  const client c = relay.as("me");
  wait_for_state(c, generations + "/" + create(c, "one that the list shows"), "completed");
  sim.forget_jobs(sim::simulator::amnesia::new_jobs);
  const std::string id = create(c, "a job");
  wait_for_state(c, generations + "/" + id, "failed");
  sim.forget_jobs(sim::simulator::amnesia::none);
  wait_for_state(c, generations + "/" + id, "completed");
}

}  // namespace
}  // namespace relay::test
