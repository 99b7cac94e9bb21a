// What an upstream's list says about a submission whose answer was lost.

#include "common/engine/matching.hpp"

#include <gtest/gtest.h>

#include "common/engine/marker.hpp"
#include "tests/support/luma.hpp"

namespace relay {
namespace {

constexpr timestamp t0{std::chrono::hours(1000)};
const std::string relay_url = "https://relay.example.com";

timestamp at(int seconds) {
  return t0 + std::chrono::seconds(seconds);
}

task lost(const std::string& id, bool marked) {
  task t = test::luma_task();
  t.id = "01936e4f-a1b2-7000-8000-00000000000" + id;
  t.state = task_state::submitting;
  t.marker = marked ? "5-" + id : "";
  t.attempted_at = at(0);
  t.ambiguous_at = at(30);
  return t;
}

listed_job listed(const std::string& id, int seconds, const std::string& prompt,
                  const std::string& callback = {}) {
  const std::string text = R"({"id":")" + id + R"(","state":"dreaming","created_at":")" +
                           to_iso(at(seconds), precision::microseconds) + R"(","request":{"prompt":")" +
                           prompt +
                           R"(","aspect_ratio":"16:9","loop":false,"keyframes":null,"callback_url":)" +
                           (callback.empty() ? "null" : "\"" + callback + "\"") + "}}";
  auto page = luma::official_protocol.parse_list(R"({"generations":[)" + text + R"(],"has_more":false})");
  return page->jobs.at(0);
}

// A task and what was sent for it.
struct asked {
  task t;
  outgoing sent;
  std::string url;
  asked(task of, const std::string& body)
      : t(std::move(of)), sent{"/generations", body}, url(marker_url(relay_url, t)) {}
  lost_submission as() const { return {t, sent, luma::official_protocol}; }
};

bool nobody(const std::string&) {
  return false;
}

task_event find_in(const lost_submission& s, const listing& seen, std::span<const lost_submission> others,
                   bool echoes, const std::function<bool(const std::string&)>& known = nobody) {
  return find_lost(s, seen, others, {luma::official_protocol, echoes, known});
}

std::string verdict(const task_event& e) {
  if (const auto* f = std::get_if<event::found>(&e)) return "found " + f->reported.id;
  return std::get<event::absent>(e).proven ? "proven absent" : "absent";
}

TEST(matching, by_the_marker) {
  const asked a(lost("a", true), R"({"prompt":"cat"})");
  listing seen;
  seen.requested_at = at(100);
  seen.ended = true;
  seen.jobs = {listed("u-2", 5, "cat", relay_url + "/callbacks/01936e4f-a1b2-7000-8000-00000000000b/5-b"),
               listed("u-1", 5, "cat", a.url)};
  const lost_submission s = a.as();
  EXPECT_EQ(verdict(find_in(s, seen, {&s, 1}, false)), "found u-1");
  seen.jobs.pop_back();
  EXPECT_EQ(verdict(find_in(s, seen, {&s, 1}, true)), "proven absent");
  EXPECT_EQ(std::get<event::absent>(find_in(s, seen, {&s, 1}, true)).requested_at, at(100));
  EXPECT_TRUE(seen.echoes());
  // An operator who moves the relay to another address changes nothing.
  seen.jobs.push_back(listed("u-1", 5, "cat", "https://old.example.com:8443/sub" + marker_path(a.t)));
  EXPECT_EQ(verdict(find_in(s, seen, {&s, 1}, true)), "found u-1");
  for (const char* other :
       {"https://x/callbacks/hook", "https://x/callbacks/01936e4f-a1b2-7000-8000-00000000000a",
        "https://x/callbacks/01936e4f-a1b2-7000-8000-00000000000a/", "", "https://x/"}) {
    listing foreign{at(100), {listed("u-2", 5, "cat", other)}, true};
    EXPECT_FALSE(foreign.echoes()) << other;
  }
}

TEST(matching, absence_is_proven_only_when_the_list_would_show_it) {
  const asked a(lost("a", true), R"({"prompt":"cat"})");
  const lost_submission s = a.as();
  const auto jobs_until = [](int oldest) {
    const std::string ours = relay_url + "/callbacks/01936e4f-a1b2-7000-8000-00000000000c/5-c";
    return std::vector{listed("u-3", 50, "x", ours), listed("u-2", oldest + 10, "x"),
                       listed("u-1", oldest, "x")};
  };
  struct {
    const char* what;
    listing seen;
    bool echoes;
    const char* want;
  } const table[] = {
      {"all of it", {at(100), jobs_until(20), true}, true, "proven absent"},
      {"an empty one says nothing", {at(100), {}, true}, true, "absent"},
      {"one without any of ours says nothing", {at(100), {listed("u-1", 5, "x")}, true}, true, "absent"},
      {"far enough back", {at(100), jobs_until(-70), false}, true, "proven absent"},
      {"not far enough", {at(100), jobs_until(-50), false}, true, "absent"},
      {"the upstream may not echo", {at(100), {}, true}, false, "absent"},
      {"in another order",
       {at(100), {listed("u-1", -500, "x"), listed("u-2", 5, "x")}, false},
       true,
       "absent"},
      {"without times",
       {at(100),
        [] {
          auto j = listed("u-1", -500, "x");
          j.created_at = never;
          return std::vector{j};
        }(),
        false},
       true,
       "absent"},
  };
  for (const auto& row : table) {
    EXPECT_EQ(verdict(find_in(s, row.seen, {&s, 1}, row.echoes)), row.want) << row.what;
  }
  listing trimmed{at(100), jobs_until(20), true};
  trimmed.jobs[2].request.reset();
  EXPECT_EQ(verdict(find_in(s, trimmed, {&s, 1}, true)), "absent")
      << "a job that does not show its request may be it";
  const asked unmarked(lost("a", false), R"({"prompt":"cat"})");
  const lost_submission u = unmarked.as();
  EXPECT_EQ(verdict(find_in(u, {at(100), {}, true}, {&u, 1}, true)), "absent")
      << "without a marker nothing proves it";
}

TEST(matching, by_the_request_when_only_one_can_be_meant) {
  const asked a(lost("a", false), R"({"prompt":"cat","aspect_ratio":"16:9"})");
  const asked twin(lost("b", false), R"({"prompt":"cat","aspect_ratio":"16:9"})");
  const asked other(lost("c", false), R"({"prompt":"dog"})");
  struct {
    const char* what;
    std::vector<listed_job> jobs;
    std::vector<const asked*> lost;
    const char* want;
  } const table[] = {
      {"one", {listed("u-1", 5, "cat"), listed("u-2", 5, "dog")}, {&a, &other}, "found u-1"},
      {"two that could be it", {listed("u-1", 5, "cat"), listed("u-2", 6, "cat")}, {&a}, "absent"},
      {"two that are looked up", {listed("u-1", 5, "cat")}, {&a, &twin}, "absent"},
      {"another prompt", {listed("u-1", 5, "dog")}, {&a}, "absent"},
      {"somebody's with a callback", {listed("u-1", 5, "cat", "https://x/")}, {&a}, "absent"},
      {"too early", {listed("u-1", -61, "cat")}, {&a}, "absent"},
      {"clocks differ", {listed("u-1", -59, "cat")}, {&a}, "found u-1"},
      {"too late", {listed("u-1", 91, "cat")}, {&a}, "absent"},
      {"one of ours", {listed("u-known", 5, "cat")}, {&a}, "absent"},
  };
  for (const auto& row : table) {
    std::vector<lost_submission> submissions;
    for (const asked* l : row.lost) submissions.push_back(l->as());
    const auto known = [](const std::string& id) { return id == "u-known"; };
    EXPECT_EQ(verdict(find_in(submissions[0], {at(100), row.jobs, true}, submissions, false, known)),
              row.want)
        << row.what;
  }
  // With a marker that this upstream echoes, an equal request without one is somebody else's.
  const asked marked(lost("a", true), R"({"prompt":"cat"})");
  const lost_submission s = marked.as();
  EXPECT_EQ(verdict(find_in(s, {at(100), {listed("u-1", 5, "cat")}, true}, {&s, 1}, true)), "absent");
  EXPECT_EQ(verdict(find_in(s, {at(100), {listed("u-1", 5, "cat")}, true}, {&s, 1}, false)), "found u-1");
}

TEST(matching, twins_with_markers_that_are_not_echoed) {
  const asked a(lost("a", true), R"({"prompt":"cat","callback_url":"https://r/callbacks/a/1"})");
  const asked b(lost("b", true), R"({"prompt":"cat","callback_url":"https://r/callbacks/b/2"})");
  const std::vector<lost_submission> both{a.as(), b.as()};
  EXPECT_EQ(verdict(find_in(both[0], {at(100), {listed("u-1", 5, "cat")}, true}, both, false)), "absent");
}

TEST(matching, pages_that_overlap) {
  listing seen;
  seen.add({listed("u-3", 30, "x"), listed("u-2", 20, "x")});
  seen.add({listed("u-2", 20, "x"), listed("u-1", -100, "x")});
  EXPECT_EQ(seen.jobs.size(), 3u);
  EXPECT_TRUE(seen.covers(at(-60)));
}

TEST(matching, keyframes_are_part_of_the_request) {
  const asked a(lost("a", false),
                R"({"prompt":"cat","keyframes":{"frame0":{"type":"image","url":"https://x/1.jpg"}}})");
  const lost_submission s = a.as();
  EXPECT_EQ(verdict(find_in(s, {at(100), {listed("u-1", 5, "cat")}, true}, {&s, 1}, false)), "absent");
}

// Their echo does not say which generation they build on: one could be taken for another.
TEST(matching, a_job_whose_echo_does_not_tell_it_apart_is_found_by_its_marker_only) {
  asked bare(lost("a", false), R"({"resolution":"4k"})");
  bare.t.action = &luma::actions::upscale;
  bare.sent.path = "/generations/u-0/upscale";
  auto same = listed("u-1", 5, "cat");
  same.request = json::object{{"generation_type", "upscale_video"}, {"resolution", "4k"}};
  const lost_submission s = bare.as();
  EXPECT_EQ(verdict(find_in(s, {at(100), {same}, true}, {&s, 1}, false)), "absent");
  asked marked(lost("a", true), R"({"resolution":"4k"})");
  marked.t.action = &luma::actions::upscale;
  same.callback_url = marked.url;
  const lost_submission m = marked.as();
  EXPECT_EQ(verdict(find_in(m, {at(100), {same}, true}, {&m, 1}, false)), "found u-1");
}

TEST(matching, a_page_of_the_list) {
  const auto page = luma::official_protocol.parse_list(
      R"({"has_more":true,"count":1,"generations":[{"id":"u-1","state":"completed","created_at":"2024-11-27T13:50:56.313494Z"}]})");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->has_more, true);
  EXPECT_EQ(luma::official_protocol.parse_list(R"({"generations":[]})")->has_more, std::nullopt);
  EXPECT_EQ(page->jobs.at(0).reported.id, "u-1");
  EXPECT_EQ(to_iso(page->jobs.at(0).created_at, precision::microseconds), "2024-11-27T13:50:56.313494Z");
  EXPECT_TRUE(luma::official_protocol.parse_list(R"({"generations":[]})")->jobs.empty());
  for (const char* bad : {"", "[]", "{}", R"({"generations":{}})", R"({"generations":[1]})",
                          R"({"generations":[{"state":"queued"}]})", "<html>"}) {
    EXPECT_FALSE(luma::official_protocol.parse_list(bad)) << bad << ": half a list must prove nothing";
  }
}

}  // namespace
}  // namespace relay
