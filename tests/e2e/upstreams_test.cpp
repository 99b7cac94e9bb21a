// Several upstreams with several keys each: who gets a job, who gets it next, what a refused key means, what
// an operator and a reload change while jobs go through.

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "tests/support/running.hpp"
#include "tests/support/tcp_gate.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";

// Simulators a, b, …, each with the keys one and two.
struct several {
  explicit several(std::size_t n, std::chrono::seconds links_for = {}) {
    for (std::size_t i = 0; i < n; ++i) {
      sim::options o = running_simulator::stepping();
      o.name = std::string(1, static_cast<char>('a' + i));
      o.key = "key-one";
      o.more_keys = {"key-two"};
      o.links_for = links_for;
      all.push_back(std::make_unique<running_simulator>(std::move(o)));
    }
  }
  config settings(const temp_dir& dir) const {
    config c = test_config(dir, all[0]->url());
    c.upstreams.clear();
    for (std::size_t i = 0; i < all.size(); ++i) c.upstreams.push_back(upstream(i));
    return c;
  }
  upstream_config upstream(std::size_t i) const {
    upstream_config u;
    u.name = std::string(1, static_cast<char>('a' + i));
    u.url = all[i]->url();
    u.base = *parse_base_url(u.url);
    u.first_byte_timeout = milliseconds(2'000);
    for (const char* name : {"one", "two"}) {
      upstream_key_config k;
      k.name = name;
      k.key = secret("key-" + std::string(name));
      u.keys.push_back(std::move(k));
    }
    return u;
  }
  // Which keys of which simulators were asked to create this prompt, and with what they answered.
  std::map<std::string, std::vector<std::int64_t>> asked(const std::string& prompt) const {
    std::map<std::string, std::vector<std::int64_t>> out;
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (const json::value& c : all[i]->log().at("creates").as_array()) {
        const json::value* body = member(c.as_object(), "body");
        if (body == nullptr || !body->is_object() || text_of(body->get_object(), "prompt") != prompt)
          continue;
        const std::string key(text_of(c.as_object(), "key"));
        out[std::string(1, static_cast<char>('a' + i)) + "/" + key.substr(4)].push_back(
            c.at("status").as_int64());
      }
    }
    return out;
  }
  std::int64_t created() const {
    std::int64_t n = 0;
    for (const auto& s : all) n += s->created();
    return n;
  }
  std::int64_t wrong_key() const {
    std::int64_t n = 0;
    for (const auto& s : all) n += s->log().at("wrong_key").as_int64();
    return n;
  }

  std::vector<std::unique_ptr<running_simulator>> all;
};

std::string create(const client& c, const std::string& prompt) {
  const response r = c.post(generations, R"({"prompt":")" + prompt + R"("})");
  EXPECT_TRUE(r.status == 201 || r.status == 400 || r.status == 422) << r.status << r.body;
  return r.status == 201 ? std::string(text_of(r.json().as_object(), "id")) : "";
}

std::string end_of(const client& c, const std::string& id) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (;;) {
    const json::object t =
        c.request("GET", generations + "/" + id, {}, {"Prefer: wait=5"}).json().as_object();
    const std::string state(text_of(t, "state"));
    if (state == "completed" || state == "failed") return state;
    if (std::chrono::steady_clock::now() > give_up) return "still " + state;
  }
}

// Each key of each upstream, as the operator sees it.
json::array listed(running_relay& relay) {
  const response r = relay.admin("GET", "/upstreams");
  EXPECT_EQ(r.status, 200) << r.body;
  return r.json().at("items").as_array();
}

// What a key answers with, and what comes of the job when the others are well.
struct failure {
  const char* tag;
  enum class then { goes_on, refused, lost } what;
};
const failure failures[] = {
    {"#refuse-401", failure::then::goes_on}, {"#refuse-402", failure::then::goes_on},
    {"#refuse-403", failure::then::goes_on}, {"#refuse-404", failure::then::goes_on},
    {"#refuse-429", failure::then::goes_on}, {"#refuse-400", failure::then::refused},
    {"#refuse-422", failure::then::refused}, {"#cut", failure::then::lost},
    {"#garbage", failure::then::lost},       {"#answer-500", failure::then::lost},
    {"#answer-502", failure::then::lost},    {"#answer-503", failure::then::lost},
    {"#drop", failure::then::lost},          {"#refuse-502", failure::then::lost},
};

class failover : public ::testing::TestWithParam<std::size_t> {};

void try_failure(const failure& f, std::size_t n, std::size_t failing) {
  const std::string where =
      std::string(f.tag) + " at " + std::to_string(failing) + " of " + std::to_string(2 * n);
  temp_dir dir;
  several sims(n);
  config settings = sims.settings(dir);
  settings.server.public_url = "http://127.0.0.1:9";  // nobody calls there
  running_relay relay(settings);
  const client c = relay.as("me");
  std::string prompt = f.tag;
  std::set<std::string> bad;
  for (std::size_t i = 0; i < failing; ++i) {
    const std::string sim(1, static_cast<char>('a' + i / 2));
    const std::string key = i % 2 == 0 ? "one" : "two";
    prompt += " #at-" + sim + "/key-" + key;
    bad.insert(sim + "/" + key);
  }
  prompt += " .";
  const std::string id = create(c, prompt);
  const std::string end = id.empty() ? "refused" : end_of(c, id);
  const auto asked = sims.asked(prompt);
  std::size_t posts = 0;
  for (const auto& [key, statuses] : asked) {
    posts += statuses.size();
    // One that said 429 may be asked again when its second is over.
    if (f.tag != std::string_view("#refuse-429"))
      EXPECT_EQ(statuses.size(), 1u) << where << ": " << key << " was asked again";
  }
  EXPECT_LE(sims.created(), 1) << where << ": created twice";
  switch (f.what) {
    case failure::then::goes_on: {
      EXPECT_EQ(end, "completed") << where;
      EXPECT_EQ(sims.created(), 1) << where;
      std::size_t good = 0;
      for (const auto& [key, statuses] : asked) good += !bad.contains(key);
      EXPECT_EQ(good, 1u) << where << ": one of those that are well has it";
      break;
    }
    case failure::then::refused:
      EXPECT_EQ(end, "refused") << where;
      EXPECT_EQ(posts, 1u) << where;
      break;
    case failure::then::lost:
      // Found in the list of the key that it went to, or given up; nobody else gets it.
      EXPECT_EQ(posts, 1u) << where;
      EXPECT_EQ(end, sims.created() == 1 ? "completed" : "failed") << where;
      break;
  }
  EXPECT_EQ(sims.wrong_key(), 0) << where;
}

// Every failure at all keys of one upstream, and at all keys but one. They wait beside each other.
TEST_P(failover, goes_on_where_nothing_was_created_and_nowhere_else) {
  const std::size_t n = GetParam();
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < 2 * std::size(failures); i = next++)
      try_failure(failures[i / 2], n, i % 2 == 0 ? 2 : 2 * n - 1);
  };
  std::vector<std::jthread> workers;
  for (int i = 0; i < 8; ++i) workers.emplace_back(work);
}
INSTANTIATE_TEST_SUITE_P(upstreams, failover, ::testing::Values(2, 3));

TEST(failover_of_connections, an_upstream_that_nobody_reaches_costs_no_job) {
  temp_dir dir;
  several sims(2);
  tcp_gate gate(sims.all[0]->port());
  config settings = sims.settings(dir);
  settings.upstreams[0].url = gate.url();
  settings.upstreams[0].base = *parse_base_url(gate.url());
  running_relay relay(settings);
  const client c = relay.as("me");
  EXPECT_EQ(end_of(c, create(c, "the first goes to a")), "completed");
  EXPECT_EQ(sims.all[0]->created(), 1);
  gate.refuse_new();
  gate.cut_all();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(end_of(c, create(c, "the others go to b")), "completed");
  EXPECT_EQ(sims.all[1]->created(), 5);
}

TEST(keys, each_has_jobs_limits_and_a_circuit_of_its_own) {
  temp_dir dir;
  several sims(1);
  config settings = sims.settings(dir);
  settings.upstreams[0].keys[0].weight = 3;
  running_relay relay(settings);
  const client c = relay.as("me");
  const auto twenty = [&](const std::string& prompt) {
    for (int i = 0; i < 20; ++i) EXPECT_EQ(end_of(c, create(c, prompt)), "completed");
    std::map<std::string, std::size_t> got;
    for (const auto& [key, statuses] : sims.asked(prompt))
      got[key] = static_cast<std::size_t>(std::ranges::count(statuses, 201));
    return got;
  };
  EXPECT_EQ(twenty("all well"), (std::map<std::string, std::size_t>{{"a/one", 15}, {"a/two", 5}}))
      << "by weight";
  // Its jobs are polled with it all the same.
  const std::string open = create(c, "open while its key is refused");
  sims.all[0]->refuse_key("key-one", 401);
  EXPECT_EQ(twenty("one is refused").at("a/two"), 20u);
  const auto refused = sims.asked("one is refused").at("a/one");
  EXPECT_EQ(refused, std::vector<std::int64_t>{401}) << "once, and not again";
  EXPECT_EQ(end_of(c, open), "completed");
  EXPECT_EQ(sims.wrong_key(), 0);
  const json::array list = listed(relay);
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].at("name"), "a/one");
  EXPECT_EQ(list[0].at("state"), "open circuit");
  EXPECT_NE(view(list[0].at("problem").as_string()).find("status 401"), std::string_view::npos);
  EXPECT_EQ(list[1].at("state"), "ok");
  const std::string figures = client(relay.admin_port()).get("/metrics").body;
  EXPECT_NE(
      figures.find(R"(luma_relay_upstream_circuits_opened_total{cause="key_refused",upstream="a/one"} 1)"),
      std::string::npos);
}

TEST(keys, what_one_task_is_refused_for_holds_off_this_task_alone) {
  for (const char* tag : {"#refuse-402", "#refuse-403"}) {
    temp_dir dir;
    several sims(2);
    config settings = sims.settings(dir);
    settings.submit.deadline = milliseconds(1'500);
    running_relay relay(settings);
    const client c = relay.as("me");
    // Every key refuses the expensive one; cheap ones go through the while.
    const std::string expensive = create(c, std::string(tag) + " expensive");
    for (int i = 0; i < 10; ++i) EXPECT_EQ(end_of(c, create(c, "cheap")), "completed") << tag;
    EXPECT_EQ(sims.all[0]->created() + sims.all[1]->created(), 10);
    EXPECT_GT(sims.all[0]->created(), 0) << tag << ": the first upstream still takes jobs";
    EXPECT_EQ(end_of(c, expensive), "failed") << tag;
    for (const json::value& u : listed(relay))
      EXPECT_EQ(u.at("state"), "ok") << tag << " " << json::serialize(u);
  }
}

TEST(keys, what_one_has_is_looked_up_there) {
  temp_dir dir;
  several sims(2, std::chrono::seconds(10));  // links that a client has no time for
  config settings = sims.settings(dir);
  settings.server.public_url = "http://127.0.0.1:9";  // nobody calls there
  running_relay relay(settings);
  const client c = relay.as("me");
  ASSERT_EQ(relay.admin("POST", "/upstreams/a/pause").status, 200);
  const std::string lost = create(c, "#cut the answer is lost");
  EXPECT_EQ(end_of(c, lost), "completed") << "found in the list of b";
  const response read = c.get(generations + "/" + lost);
  EXPECT_NE(read.body.find("X-Amz-Expires=3600"), std::string::npos) << "asked b anew: " << read.body;
  EXPECT_EQ(sims.all[0]->created(), 0);
  EXPECT_EQ(sims.all[1]->created(), 1);
  EXPECT_EQ(sims.wrong_key(), 0);
}

TEST(keys, poll_only_keeps_its_jobs_and_gets_no_more) {
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(100);
  o.dreams_for = milliseconds(600);
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  std::string open;
  {
    running_relay relay(settings);
    open = create(relay.as("me"), "open over the restart");
  }
  upstream_key_config other;
  other.name = "other";
  other.key = settings.upstreams[0].key;
  settings.upstreams[0].keys.push_back(other);
  settings.upstreams[0].poll_only = true;
  {
    running_relay relay(settings);
    const client c = relay.as("me-again");
    EXPECT_EQ(c.post(generations, R"({"prompt":"abc"})").status, 400) << "no upstream takes jobs";
    const response shown = relay.admin("GET", "/jobs/" + open);
    EXPECT_TRUE(relay.wait_until([&] {
      return text_of(relay.admin("GET", "/jobs/" + open).json().as_object(), "state") == "completed";
    })) << shown.body;
  }
  EXPECT_EQ(sim.created(), 1);
}

// ---- the operator

TEST(operators, pause_resume_and_drain_also_over_a_restart) {
  temp_dir dir;
  several sims(2);
  const config settings = sims.settings(dir);
  std::string token;
  const auto command = [](running_relay& r, const std::string& path, const json::object& body = {}) {
    const response answer = r.admin("POST", "/upstreams" + path, body);
    EXPECT_EQ(answer.status, 200) << path << ": " << answer.body;
    return answer.json();
  };
  {
    running_relay relay(settings);
    token = relay.token("me");
    const client c(relay.port(), "Bearer " + token);
    EXPECT_EQ(command(relay, "/a/pause").at("changed").as_array().size(), 2u);
    EXPECT_EQ(end_of(c, create(c, "a is paused")), "completed");
    EXPECT_EQ(sims.all[0]->created(), 0);
    EXPECT_EQ(relay.admin("POST", "/upstreams/c/pause").status, 404);
  }
  running_relay relay(settings);
  const client c(relay.port(), "Bearer " + token);
  EXPECT_EQ(end_of(c, create(c, "a is still paused")), "completed");
  EXPECT_EQ(sims.all[0]->created(), 0);
  // Everything waits, and goes when it may.
  command(relay, "/b/pause", {{"key", "one"}});
  command(relay, "/b/pause", {{"key", "two"}});
  const std::string waits = create(c, "nobody takes it");
  command(relay, "/a/resume", {{"key", "two"}});
  EXPECT_EQ(end_of(c, waits), "completed");
  EXPECT_EQ(sims.asked("nobody takes it"),
            (std::map<std::string, std::vector<std::int64_t>>{{"a/two", {201}}}));
  command(relay, "/a/drain");
  command(relay, "/b/drain");
  const response refused = c.post(generations, R"({"prompt":"abc"})");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("retry-after"), "60");
  EXPECT_NE(refused.body.find("takes no new jobs now"), std::string::npos) << refused.body;
}

// ---- reload

TEST(reloading, changes_keys_and_upstreams_and_drops_no_request) {
  temp_dir dir;
  several sims(3);
  config one = sims.settings(dir);
  one.upstreams.pop_back();
  config other = sims.settings(dir);
  other.upstreams.erase(other.upstreams.begin() + 1);  // b goes, c comes
  other.upstreams[0].keys[0].weight = 9;
  other.limits.pending_per_account = 5'000;
  config third = one;  // what every job of b needs is there again
  running_relay relay(one);
  const std::string token = relay.token("me");
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0, made = 0;
  std::vector<std::vector<std::string>> ids(2);
  std::vector<std::jthread> clients;
  for (std::size_t k = 0; k < ids.size(); ++k) {
    clients.emplace_back([&, k] {
      const client c(relay.port(), "Bearer " + token);
      while (!stop) {
        try {
          const response r = c.post(generations, R"({"prompt":"under load"})");
          if (r.status != 201) ++failed;
          const std::string id(text_of(r.json().as_object(), "id"));
          ids[k].push_back(id);
          if (c.get(generations + "/" + id).status != 200) ++failed;
          ++made;
        } catch (const std::exception&) {
          ++failed;
        }
      }
    });
  }
  for (int i = 0; i < 200; ++i) {
    if (i % 50 == 49) {  // one that is wrong changes nothing
      relay.set_problem({"relay.toml:7", "upstream.1.priorty", "no such key; [upstream] has name, url"});
      const response refused = relay.admin("POST", "/reload");
      EXPECT_EQ(refused.status, 409);
      EXPECT_NE(
          text_of(refused.json().as_object(), "detail").find("relay.toml:7: upstream.1.priorty: no such key"),
          std::string_view::npos)
          << refused.body;
      relay.no_problem();
      continue;
    }
    relay.set_config(i % 2 == 0 ? other : third);
    const response done = relay.admin("POST", "/reload");
    EXPECT_EQ(done.status, 200) << done.body;
  }
  stop = true;
  clients.clear();
  relay.set_config(sims.settings(dir));  // all of them, so that all jobs can be polled
  EXPECT_EQ(relay.admin("POST", "/reload").status, 200);
  const client c(relay.port(), "Bearer " + token);
  for (const auto& some : ids) {
    for (const std::string& id : some) EXPECT_EQ(end_of(c, id), "completed") << id;
  }
  EXPECT_EQ(failed, 0);
  EXPECT_GT(made, 20);
  EXPECT_EQ(sims.wrong_key(), 0) << "a job was polled with another key";
  EXPECT_EQ(sims.created(), static_cast<std::int64_t>(ids[0].size() + ids[1].size()));
}

TEST(reloading, a_new_secret_of_a_key_is_used_at_once_and_for_its_old_jobs) {
  temp_dir dir;
  sim::options o = running_simulator::stepping();
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  config wrong = settings;
  wrong.upstreams[0].key = secret("a-key-of-yesterday");
  running_relay relay(wrong);
  const client c = relay.as("me");
  const std::string waits = create(c, "it waits for a key that works");
  ASSERT_EQ(listed(relay).at(0).at("state"), "open circuit");
  relay.set_config(settings);
  const json::value done = relay.admin("POST", "/reload").json();
  EXPECT_EQ(json::serialize(done.at("changes")), R"(["upstream sim has other settings: the key itself"])");
  EXPECT_EQ(end_of(c, waits), "completed") << "and not after the half minute of the circuit";
}

TEST(reloading, says_what_needs_a_restart_and_refuses_what_cannot_be) {
  temp_dir dir;
  running_simulator sim;
  const config settings = test_config(dir, sim.url());
  running_relay relay(settings);
  config other = settings;
  other.server.max_batch_ids = 7;
  other.storage.path = "elsewhere.db";
  relay.set_config(other);
  EXPECT_EQ(json::serialize(relay.admin("POST", "/reload").json().at("changes")),
            R"(["server.max_batch_ids needs a restart","storage.path needs a restart"])");
  other = settings;
  other.upstreams[0].protocol = "station";
  relay.set_config(other);
  const response refused = relay.admin("POST", "/reload");
  EXPECT_EQ(refused.status, 409);
  EXPECT_NE(
      text_of(refused.json().as_object(), "detail").find("one with another protocol needs another name"),
      std::string_view::npos)
      << refused.body;
  other = settings;
  other.upstreams[0].ca_file = dir.file("no-such-ca.pem");
  other.upstreams[0].base.tls = true;
  relay.set_config(other);
  EXPECT_EQ(relay.admin("POST", "/reload").status, 409);
  const client c = relay.as("me");
  EXPECT_EQ(end_of(c, create(c, "all is as it was")), "completed");
}

// ---- a storm of 429s, on the real program

// Ten at once and jobs of two seconds for six seconds. With RELAY_STORM=60 as long as that; from 600 on the
// jobs take twenty seconds.
TEST(storm, of_429s_teaches_the_limit) {
  const char* setting = std::getenv("RELAY_STORM");
  const std::chrono::seconds how_long(setting != nullptr ? std::atoi(setting) : 6);
  const std::chrono::seconds job(how_long.count() < 600 ? 2 : 20);
  temp_dir dir;
  sim::options o;
  o.queued_for = milliseconds(200);
  o.dreams_for = job - o.queued_for;
  o.limits = true;
  o.in_minute = 1'000'000;
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.poll.interval = milliseconds(100);
  settings.submit.deadline = 2 * how_long + std::chrono::seconds(600);
  std::string token;
  std::int64_t created = 0;
  for (const char* life : {"the first", "after a restart"}) {
    running_relay relay(settings);
    if (token.empty()) token = relay.token("me");
    const client c(relay.port(), "Bearer " + token);
    const std::int64_t refused_before = sim.log().at("refused").as_int64();
    const std::int64_t jobs = 10 * (how_long / job) + 50;
    for (std::int64_t i = 0; i < jobs; ++i) create(c, "one of many");
    const auto end = std::chrono::steady_clock::now() + how_long;
    relay.wait_until([&] { return std::chrono::steady_clock::now() >= end; },
                     how_long + std::chrono::seconds(5));
    const json::object log = sim.log();
    const auto accepted = static_cast<double>(log.at("created").as_int64() - created);
    const auto refused = static_cast<double>(log.at("refused").as_int64() - refused_before);
    created = log.at("created").as_int64();
    // The creates before the clock began are some more.
    const double possible = 10.0 * static_cast<double>(how_long / job);
    // Three rounds of ten say less than thirty.
    EXPECT_GE(accepted, possible * (setting != nullptr ? 0.9 : 0.8)) << life;
    EXPECT_LT(refused, std::max(6.0, 0.05 * (accepted + refused))) << life;
    const json::array shown = listed(relay);
    // A job counts until the relay has seen its end, a little longer than upstream; those on their way do not
    // count when another is refused. In the short form there is no time to try more again.
    EXPECT_NEAR(static_cast<double>(shown.at(0).at("learned_concurrent").as_int64()), 10,
                setting != nullptr ? 1 : 2)
        << life;
    EXPECT_EQ(relay.admin("POST", "/cancellations", {{"all", true}}).status, 200);
  }
}

}  // namespace
}  // namespace relay::test
