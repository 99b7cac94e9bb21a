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
  return luma::official_protocol.parse_listed(text).value();
}

// A task and what was sent for it.
struct asked {
  task t;
  outgoing sent;
  std::string url;
  asked(task of, const std::string& body)
      : t(std::move(of)), sent{"/generations", body}, url(marker_url(relay_url, t)) {}
  lost_submission as() const { return {std::make_shared<const task>(t), sent, luma::official_protocol}; }
};

bool nobody(const std::string&) {
  return false;
}

std::string verdict(const task_event& e) {
  if (const auto* f = std::get_if<event::found>(&e)) return "found " + f->reported.id;
  return std::get<event::absent>(e).would_show ? "would show" : "absent";
}

// A list as it was read: one page, and whether it was all.
struct reading {
  std::vector<listed_job> jobs;
  bool ended = true;
  std::vector<std::size_t> odd{};
};

listing read(const reading& r, std::vector<lost_submission> wanted) {
  listing seen(at(100), std::move(wanted), luma::official_protocol);
  seen.add({r.jobs, r.jobs.size() + r.odd.size(), r.odd, std::nullopt});
  if (r.ended) seen.end();
  return seen;
}

// A marked job of ours that was accepted after the attempts of these tests, and the list's item for it.
const witness accepted{"u-new", "/callbacks/01936e4f-a1b2-7000-8000-00000000000f/5-f", at(40), at(41)};
listed_job as_listed(const witness& w, int seconds) {
  return listed(w.upstream_id, seconds, "x", relay_url + w.marker_path);
}

struct knowing {
  bool echoes = false;
  std::function<bool(const std::string&)> known = nobody;
  std::vector<witness> accepted{};
};
task_event find_in(const lost_submission& s, const reading& r, const std::vector<lost_submission>& others,
                   const knowing& k) {
  list_source from;
  from.echoes_markers = k.echoes;
  from.is_known = k.known;
  from.accepted = k.accepted;
  return find_lost(s, read(r, {s}), others, from);
}

TEST(matching, by_the_marker) {
  const asked a(lost("a", true), R"({"prompt":"cat"})");
  const lost_submission s = a.as();
  reading r{{listed("u-2", 5, "cat", relay_url + "/callbacks/01936e4f-a1b2-7000-8000-00000000000b/5-b"),
             listed("u-1", 5, "cat", a.url)}};
  EXPECT_EQ(verdict(find_in(s, r, {s}, {})), "found u-1");
  EXPECT_TRUE(read(r, {s}).echoes());
  // An operator who moves the relay to another address changes nothing.
  r.jobs.back() = listed("u-1", 5, "cat", "https://old.example.com:8443/sub" + marker_path(a.t));
  EXPECT_EQ(verdict(find_in(s, r, {s}, {})), "found u-1");
  r.jobs.pop_back();
  r.jobs.insert(r.jobs.begin(), as_listed(accepted, 40));
  const knowing fresh{true, nobody, {accepted}};
  EXPECT_EQ(verdict(find_in(s, r, {s}, fresh)), "would show");
  EXPECT_EQ(std::get<event::absent>(find_in(s, r, {s}, fresh)).requested_at, at(100));
  for (const char* other :
       {"https://x/callbacks/hook", "https://x/callbacks/01936e4f-a1b2-7000-8000-00000000000a",
        "https://x/callbacks/01936e4f-a1b2-7000-8000-00000000000a/", "", "https://x/"}) {
    EXPECT_FALSE(read({{listed("u-2", 5, "cat", other)}}, {s}).echoes()) << other;
  }
}

TEST(matching, absence_is_shown_only_by_a_list_that_would_show_the_job) {
  const asked a(lost("a", true), R"({"prompt":"cat"})");
  const lost_submission s = a.as();
  const auto jobs_until = [](int oldest) {
    return std::vector{as_listed(accepted, 40), listed("u-2", oldest + 10, "x"), listed("u-1", oldest, "x")};
  };
  const std::vector<witness> one{accepted};
  const witness unmarked{"u-2", "", at(10), at(11)};
  const witness missing{"u-gone", "/callbacks/01936e4f-a1b2-7000-8000-00000000000e/5-e", at(50), at(51)};
  const witness before{"u-before", "/callbacks/01936e4f-a1b2-7000-8000-00000000000e/5-e", at(-1), at(1)};
  const witness just_now{"u-soon", "/callbacks/01936e4f-a1b2-7000-8000-00000000000e/5-e", at(98), at(99)};
  // It may be created after that one, and so be newer than what the list shows.
  const witness early{"u-early", "/callbacks/01936e4f-a1b2-7000-8000-00000000000e/5-e", at(10), at(11)};
  auto without_time = jobs_until(-70);
  without_time[1].created_at = never;
  auto without_request = jobs_until(20);
  without_request[1].request.reset();
  auto other_order = jobs_until(20);
  std::swap(other_order[1], other_order[2]);
  other_order.push_back(listed("u-0", -500, "x"));
  struct {
    const char* what;
    reading seen;
    bool echoes;
    std::vector<witness> accepted;
    const char* want;
  } const table[] = {
      {"all of it", {jobs_until(20)}, true, one, "would show"},
      {"far enough back", {jobs_until(-70), false}, true, one, "would show"},
      {"not far enough", {jobs_until(-50), false}, true, one, "absent"},
      {"an empty one", {{}}, true, {}, "absent"},
      {"one without any of ours", {{listed("u-1", 5, "x")}}, true, {}, "absent"},
      {"nothing of ours was accepted since", {jobs_until(20)}, true, {}, "absent"},
      {"only what was submitted before", {jobs_until(20)}, true, {before}, "absent"},
      {"only one without a marker", {jobs_until(20)}, true, {unmarked}, "absent"},
      {"only what was submitted soon after", {{as_listed(early, 10)}}, true, {early}, "absent"},
      {"one that it misses", {jobs_until(20)}, true, {accepted, missing}, "absent"},
      {"one that it may miss: it came a moment ago",
       {jobs_until(20)},
       true,
       {accepted, just_now},
       "would show"},
      {"one submitted before may be missing", {jobs_until(20)}, true, {accepted, before}, "would show"},
      {"the upstream may not echo", {jobs_until(20)}, false, one, "absent"},
      {"in another order", {other_order, false}, true, one, "absent"},
      {"without times", {without_time, false}, true, one, "absent"},
      {"a job that does not show its request may be it", {without_request}, true, one, "absent"},
      {"an item that cannot be read may be it", {jobs_until(20), true, {1}}, true, one, "absent"},
      {"one that is too old cannot", {jobs_until(-70), true, {3}}, true, one, "would show"},
  };
  for (const auto& row : table) {
    list_source from;
    from.echoes_markers = row.echoes;
    from.is_known = nobody;
    from.accepted = row.accepted;
    from.list_delay = std::chrono::seconds(5);
    from.late_creation = std::chrono::seconds(10);
    EXPECT_EQ(verdict(find_lost(s, read(row.seen, {s}), {}, from)), row.want) << row.what;
    from.clock_is_right = false;
    EXPECT_EQ(verdict(find_lost(s, read(row.seen, {s}), {}, from)), "absent") << row.what;
  }
  const asked bare(lost("a", false), R"({"prompt":"cat"})");
  const lost_submission u = bare.as();
  EXPECT_EQ(verdict(find_in(u, {jobs_until(20)}, {u}, {true, nobody, one})), "absent")
      << "without a marker nothing shows it";
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
    EXPECT_EQ(verdict(find_in(submissions[0], {row.jobs}, submissions, {false, known})), row.want)
        << row.what;
  }
  // With a marker that this upstream echoes, an equal request without one is somebody else's.
  const asked marked(lost("a", true), R"({"prompt":"cat"})");
  const lost_submission s = marked.as();
  EXPECT_EQ(verdict(find_in(s, {{listed("u-1", 5, "cat")}}, {s}, {true})), "absent");
  EXPECT_EQ(verdict(find_in(s, {{listed("u-1", 5, "cat")}}, {s}, {false})), "found u-1");
}

TEST(matching, twins_with_markers_that_are_not_echoed) {
  const asked a(lost("a", true), R"({"prompt":"cat","callback_url":"https://r/callbacks/a/1"})");
  const asked b(lost("b", true), R"({"prompt":"cat","callback_url":"https://r/callbacks/b/2"})");
  const std::vector<lost_submission> both{a.as(), b.as()};
  EXPECT_EQ(verdict(find_in(both[0], {{listed("u-1", 5, "cat")}}, both, {})), "absent");
}

TEST(matching, pages_that_overlap) {
  listing seen(at(100), {}, luma::official_protocol);
  EXPECT_FALSE(seen.add({{listed("u-3", 30, "x"), listed("u-2", 20, "x")}, 2, {}, {}}));
  EXPECT_TRUE(seen.add({{listed("u-2", 20, "x"), listed("u-1", -100, "x")}, 2, {}, {}}));
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_TRUE(seen.covers(at(-60)));
  EXPECT_FALSE(seen.add({{listed("u-4", 40, "x")}, 1, {}, {}}));
  EXPECT_FALSE(seen.covers(at(-60))) << "newer than the page before: its order cannot be trusted";
}

// What an upstream's callback named is adopted unless what the upstream shows of it contradicts.
TEST(matching, what_contradicts) {
  const asked a(lost("a", true), R"({"prompt":"cat"})");
  const asked bare(lost("a", false), R"({"prompt":"cat"})");
  const std::string foreign = relay_url + "/callbacks/01936e4f-a1b2-7000-8000-00000000000b/5-b";
  auto silent = listed("u-1", 5, "cat");
  silent.request.reset();
  silent.created_at = never;
  struct {
    const char* what;
    const asked& of;
    listed_job shown;
    bool want;
  } const table[] = {
      {"the same", a, listed("u-1", 5, "cat"), false},
      {"with our marker", a, listed("u-1", 5, "cat", a.url), false},
      {"it was made long after", a, listed("u-1", 900, "cat"), false},
      {"nothing is shown of it", a, silent, false},
      {"another prompt", a, listed("u-1", 5, "dog"), true},
      {"made before", a, listed("u-1", -61, "cat"), true},
      {"the marker of another task", a, listed("u-1", 5, "cat", foreign), true},
      {"a marker, and it had none", bare, listed("u-1", 5, "cat", foreign), true},
  };
  for (const auto& row : table)
    EXPECT_EQ(contradicts(row.of.as(), row.shown, luma::official_protocol), row.want) << row.what;
  const lost_submission to_station(std::make_shared<const task>(a.t),
                                   {"/luma/generations", R"({"user_prompt":"cat"})"}, luma::station_protocol);
  const auto shown = luma::station_protocol.parse_listed(R"({"id":"s-1","prompt":"dog","state":"pending"})");
  EXPECT_TRUE(contradicts(to_station, *shown, luma::station_protocol));
  const auto same = luma::station_protocol.parse_listed(R"({"id":"s-1","prompt":"cat","state":"pending"})");
  EXPECT_FALSE(contradicts(to_station, *same, luma::station_protocol));
}

TEST(matching, keyframes_are_part_of_the_request) {
  const asked a(lost("a", false),
                R"({"prompt":"cat","keyframes":{"frame0":{"type":"image","url":"https://x/1.jpg"}}})");
  const lost_submission s = a.as();
  EXPECT_EQ(verdict(find_in(s, {{listed("u-1", 5, "cat")}}, {s}, {})), "absent");
}

// Their echo does not say which generation they build on: one could be taken for another.
TEST(matching, a_job_whose_echo_does_not_tell_it_apart_is_found_by_its_marker_only) {
  asked bare(lost("a", false), R"({"resolution":"4k"})");
  bare.t.action = &luma::actions::upscale;
  bare.sent.path = "/generations/u-0/upscale";
  auto same = listed("u-1", 5, "cat");
  same.request = json::object{{"generation_type", "upscale_video"}, {"resolution", "4k"}};
  const lost_submission s = bare.as();
  EXPECT_EQ(verdict(find_in(s, {{same}}, {s}, {})), "absent");
  asked marked(lost("a", true), R"({"resolution":"4k"})");
  marked.t.action = &luma::actions::upscale;
  same.callback_url = marked.url;
  const lost_submission m = marked.as();
  EXPECT_EQ(verdict(find_in(m, {{same}}, {m}, {})), "found u-1");
}

// ---- the mark itself

TEST(marker, an_address_is_ours_by_its_end_alone) {
  task t;
  t.id = "01a1febd-e3dc-7036-8b4b-87f37e9be59c";
  t.marker = "0123abcd";
  const std::string end = "/callbacks/" + t.id + "/0123abcd";
  EXPECT_EQ(marker_path(t), end);
  EXPECT_EQ(marker_url("https://relay.example/base//", t), "https://relay.example/base" + end);
  EXPECT_EQ(marker_url("", t), "");
  for (const char* before : {"", "https://relay.example", "https://other.example/callbacks/old"}) {
    const auto mark = parse_marker(before + end);
    ASSERT_TRUE(mark) << before;
    EXPECT_EQ(mark->task_id, t.id);
    EXPECT_EQ(mark->marker, "0123abcd");
  }
  for (const std::string& other :
       {std::string(), end + "/", end + "/more", "/callbacks/" + t.id, "/callbacks/" + t.id + "/",
        "/callbacks/" + t.id + "x/0123abcd", "/callbacks/" + t.id.substr(1) + "/0123abcd",
        "/hooks/" + t.id + "/0123abcd",
        std::string("/callbacks/01a1febd_e3dc_7036_8b4b_87f37e9be59c/0123abcd")}) {
    EXPECT_FALSE(parse_marker(other)) << other;
    EXPECT_FALSE(is_marked(other)) << other;
  }
  t.marker.clear();
  EXPECT_EQ(marker_url("https://relay.example", t), "") << "it was given none";
}

}  // namespace
}  // namespace relay
