// Every route of the public API, asked by one account about what is another's: no answer differs from that
// about what is not there, and none tells anything of the other (rule S3).

#include <gtest/gtest.h>

#include <set>

#include "server/routes.hpp"
#include "tests/support/pictures.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string generations = "/dream-machine/v1/generations";
const std::string absent = "01936e4f-a1b2-7fff-bfff-ffffffffffff";
const std::string secret_word = "a-word-of-alice";

std::string with(std::string text, const std::string& what, const std::string& by) {
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

std::string method_of(const route& r) {
  const auto name = boost::beast::http::to_string(r.method);
  return {name.data(), name.size()};
}

struct question {
  std::string method, target, body;
};

// The row's question about a job.
question about(const route& r, const std::string& id) {
  question q{method_of(r), with(with(std::string(r.pattern), "{id}", id), "{key}", "a-word"), ""};
  const bool names_it = r.pattern.contains("{id}");
  if (r.creates != nullptr && names_it)
    q.body = R"({"prompt":"abc","user_prompt":"abc","resolution":"1080p"})";
  if (r.creates != nullptr && !names_it)
    q.body = R"({"prompt":"abc","user_prompt":"abc","keyframes":{"frame0":{"type":"generation","id":")" + id +
             R"("}}})";
  if (r.name == "tasks") q.body = R"({"ids":[")" + id + R"("]})";
  if (r.name == "tasks-events") q.target += "?ids=" + id;
  if (r.name == "upload" || r.name == "announce-upload") q.body = R"({"url":"https://example.com/a.png"})";
  if (r.name == "list") q.target += "?limit=100";
  return q;
}

// What of an answer may differ: the id that was asked for, and what is new with each.
std::string told(const response& r, const std::string& id) {
  std::string out = std::to_string(r.status) + "\n";
  static const std::set<std::string> of_each = {"date", "x-request-id", "content-length"};
  for (const auto& [name, value] : r.headers) {
    if (!of_each.contains(name)) out += name + ": " + with(value, id, "ID") + "\n";
  }
  return out + with(r.body, id, "ID");
}

TEST(tenancy, no_route_tells_a_foreign_job_from_one_that_is_not_there) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.public_url = "http://127.0.0.1:9";
  running_relay relay(settings);
  const client alice = relay.as("alice"), bob = relay.as("bob");
  const response made = alice.post(generations, R"({"prompt":")" + secret_word + R"("})");
  const std::string job(text_of(made.json().as_object(), "id"));
  wait_for_state(alice, generations + "/" + job, "completed");
  const std::string before = alice.get(generations + "/" + job).body;

  int asked = 0, of_a_job = 0;
  for (const route& r : public_routes().rows) {
    const question foreign = about(r, job), nothing = about(r, absent);
    const std::string what = foreign.method + " " + std::string(r.pattern);
    const response first = bob.request(foreign.method, foreign.target, foreign.body);
    EXPECT_NE(first.status, 500) << what << first.body;
    for (const std::string& word : {secret_word, std::string("alice")})
      EXPECT_EQ(first.body.find(word), std::string::npos) << what << first.body;
    ++asked;
    // What a job's id is no part of answers something else each time: a new id, a count.
    const bool names_it = foreign.target.contains(job) || foreign.body.contains(job);
    if (!names_it) continue;
    ++of_a_job;
    const response second = bob.request(nothing.method, nothing.target, nothing.body);
    EXPECT_EQ(told(first, job), told(second, absent)) << what;
    if (r.needs == access::token && r.name != "tasks") EXPECT_GE(first.status, 400) << what << first.body;
  }
  EXPECT_EQ(asked, std::ssize(public_routes().rows));
  EXPECT_GT(of_a_job, 20);
  EXPECT_EQ(alice.get(generations + "/" + job).body, before) << "nothing was changed";
  EXPECT_EQ(sim.created(), 1) << "nothing was bought";
}

TEST(tenancy, every_route_that_needs_a_key_asks_for_it_first) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client alice = relay.as("alice");
  const std::string job(text_of(alice.post(generations, R"({"prompt":"abc"})").json().as_object(), "id"));
  int open = 0;
  for (const route& r : public_routes().rows) {
    const question q = about(r, job);
    if (r.needs == access::open) {
      ++open;
      continue;
    }
    for (const client& nobody : {relay.as_nobody(), client(relay.port(), "Bearer luma-relay-guessed")}) {
      const response refused = nobody.request(q.method, q.target, q.body);
      EXPECT_EQ(refused.status, 401) << q.method << " " << r.pattern;
      EXPECT_EQ(refused.header("www-authenticate"), "Bearer") << r.pattern;
    }
  }
  EXPECT_EQ(open, 8)
      << "uploads and files by their addresses, callbacks of upstreams, health, readiness, and "
         "the description of the API in three parts";
  EXPECT_EQ(sim.created(), 1);
}

}  // namespace
}  // namespace relay::test
