// The documents the product was ordered from: an upstream's job in, each document's example out, field for
// field. Fields may be added, none may be missing, no type and no value may differ.

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/support/luma.hpp"

namespace relay::test {
namespace {

namespace forms = luma::forms;
namespace dialects = luma::dialects;

json::object golden(const std::string& name) {
  std::ifstream in(std::string(GOLDEN_DIR) + "/" + name);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse_lenient(text).value().as_object();
}

timestamp from_iso(const std::string& text) {
  std::tm t{};
  int micros = 0;
  int digits = 0;
  std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%d", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min,
              &t.tm_sec);
  for (const char c : text.substr(20)) {
    if (c == 'Z') break;
    micros = micros * 10 + (c - '0');
    ++digits;
  }
  for (; digits < 6; ++digits) micros *= 10;
  const std::chrono::sys_days day{std::chrono::year(t.tm_year) / t.tm_mon / t.tm_mday};
  return timestamp(day) + std::chrono::hours(t.tm_hour) + std::chrono::minutes(t.tm_min) +
         std::chrono::seconds(t.tm_sec) + std::chrono::microseconds(micros);
}

// Everything in `want` stands in `got`, at the same place, with the same type and value.
void expect_superset(const json::value& want, const json::value& got, const std::string& where) {
  ASSERT_EQ(want.kind(), got.kind()) << where << ": want " << want << ", got " << got;
  if (const json::object* o = want.if_object()) {
    for (const auto& m : *o) {
      const std::string at = where + "." + std::string(view(m.key()));
      ASSERT_TRUE(got.get_object().contains(m.key())) << at << " is missing";
      expect_superset(m.value(), got.get_object().at(m.key()), at);
    }
  } else if (const json::array* a = want.if_array()) {
    ASSERT_EQ(a->size(), got.get_array().size()) << where;
    for (std::size_t i = 0; i < a->size(); ++i)
      expect_superset((*a)[i], got.get_array()[i], where + "[" + std::to_string(i) + "]");
  } else {
    EXPECT_EQ(want, got) << where;
  }
}

// A task whose upstream has reported `said`.
task told(const json::object& said, task_state state) {
  task t = luma_task();
  t.id = text_of(said, "id");
  t.state = state;
  t.created_at = from_iso(std::string(text_of(said, "created_at")));
  t.reply = json::serialize(said);
  json::object request;
  if (const json::value* asked = member(said, "request")) request = asked->as_object();
  if (!request.contains("prompt")) request["prompt"] = text_of(said, "prompt");
  if (auto* url = request.if_contains("callback_url")) {
    t.callback_url = url->as_string();
    request.erase("callback_url");
  }
  if (auto* keyframes = request.if_contains("keyframes"); keyframes != nullptr && keyframes->is_null())
    request.erase("keyframes");
  t.request = json::serialize(request);
  return t;
}

TEST(golden, seed_000_and_002_official_path_get) {
  for (const char* name : {"seed_000.json", "seed_002.json"}) {
    const json::object want = golden(name);
    const task t = told(want, task_state::completed);
    expect_superset(want, shown(forms::official, t, t.created_at), name);
  }
}

TEST(golden, seed_001_luma_path_get) {
  const json::object want = golden("seed_001.json");
  const task t = told(want, task_state::completed);
  expect_superset(want, shown(forms::web_app, t, t.created_at), "seed_001");
}

TEST(golden, seed_003_official_create) {
  const json::object want = golden("seed_003.json");
  const task t = told(want, task_state::queued);
  const json::object got = shown(forms::created, t, t.created_at);
  expect_superset(want, got, "seed_003");
  EXPECT_TRUE(got.at("assets").is_null());
}

TEST(golden, seed_003_request_is_accepted) {
  const json::object want = golden("seed_003.json");
  const auto asked = parse_create(dialects::dream_machine, want.at("request"), luma::actions::generations);
  ASSERT_TRUE(asked) << asked.error().message.text;
  EXPECT_EQ(asked->callback_url, "xxx");
}

TEST(golden, seed_004_batch) {
  const json::object want = golden("seed_004.json");
  const json::object item = want.at("data").as_array().at(0).as_object();
  task t = told(item.at("data").as_object(), task_state::running);
  t.row = 13917;
  luma::action of_a_station = luma::actions::generations;
  of_a_station.platform = "luma_free";
  t.action = &of_a_station;
  t.created_at = from_iso("2024-07-01T07:35:13.568Z");
  t.updated_at = from_iso("2024-07-01T07:35:23.654Z");
  t.started_at = from_iso("2024-07-01T07:35:23.000Z");
  const list_frame around = dialects::tasks.frame_batch();
  const std::string batch = around.before + forms::item.render(t, t.updated_at).value() + around.after;
  expect_superset(want, parse_lenient(batch).value(), "seed_004");
}

// The same job in the shapes upstreams use must look the same to a client.
TEST(golden, official_upstream_fills_the_web_app_fields) {
  task t = luma_task();
  t.id = "15b7abb1-3741-4b7e-9615-1f9a16c7442d";
  t.state = task_state::completed;
  t.request = R"({"prompt":"an old lady","model":"ray-flash-2","aspect_ratio":"9:16","resolution":"720p"})";
  t.reply =
      R"({"id":"u","state":"completed","assets":{"video":"https://cdn/v.mp4","image":"https://cdn/t.jpg","progress_video":null}})";
  const json::object got = shown(forms::official, t, t.created_at);
  expect_superset(parse_lenient(R"({
    "state":"completed",
    "assets":{"video":"https://cdn/v.mp4","image":"https://cdn/t.jpg","progress_video":null},
    "video":{"url":"https://cdn/v.mp4","download_url":"https://cdn/v.mp4","width":720,"height":1280},
    "video_raw":{"url":"https://cdn/v.mp4","width":720,"height":1280,"duration":null,"media_type":"video"},
    "thumbnail":{"url":"https://cdn/t.jpg","width":720,"height":1280,"palette":null,"media_type":"image"},
    "last_frame":{"url":null,"width":720,"height":1280,"palette":null,"media_type":"image"}})")
                      .value(),
                  got, "official");
}

}  // namespace
}  // namespace relay::test
