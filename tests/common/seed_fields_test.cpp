// Every field of every document that the product was ordered from, at all levels: where its value comes from
// behind each kind of upstream. The table is the one in docs/api.md, and must name every field of the
// documents.

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <set>

#include "common/luma/media.hpp"
#include "tests/support/luma.hpp"

namespace relay::test {
namespace {

namespace forms = luma::forms;

// What each kind of upstream says of the same completed job, and no more than it must.
constexpr const char* official_reply =
    R"({"id":"u","generation_type":"video","state":"completed","failure_reason":null,
        "created_at":"2025-05-19T13:51:42.302000Z",
        "assets":{"video":"https://cdn/v.mp4","image":"https://cdn/t.jpg","progress_video":null},
        "model":"ray-2","request":{"prompt":"cat dance"}})";
constexpr const char* station_reply =
    R"({"id":"u","state":"completed","liked":true,"prompt":"cat dance","queue_state":"done",
        "estimate_wait_seconds":7,"created_at":"2025-05-19T13:51:42.302000Z",
        "video":{"url":"https://cdn/w.mp4","width":1360,"height":752,"download_url":"https://cdn/v.mp4"},
        "thumbnail":{"url":"https://cdn/t.jpg","width":1360,"height":752,"palette":{"grid":"em9c"},"media_type":"image"},
        "video_raw":{"url":"https://cdn/v.mp4","width":1360,"height":752,"duration":5.041667,"media_type":"video"},
        "last_frame":{"url":"https://cdn/l.jpg","width":1360,"height":752,"palette":null,"media_type":"image"}})";
// A station that sends the video and nothing else.
constexpr const char* poor_reply = R"({"id":"u","state":"completed","video_url":"https://cdn/v.mp4"})";

// The request: "cat dance", 9:16, 720p, 5 s.
struct field {
  const char* path;
  const char* official;  // JSON
  const char* station;
  const char* poor;
};

constexpr field official_path[] = {
    {"id", R"("ours")", R"("ours")", R"("ours")"},
    {"liked", "null", "true", "null"},
    {"state", R"("completed")", R"("completed")", R"("completed")"},
    {"video.url", R"("https://cdn/v.mp4")", R"("https://cdn/w.mp4")", R"("https://cdn/v.mp4")"},
    {"video.width", "720", "1360", "720"},
    {"video.height", "1280", "752", "1280"},
    {"video.download_url", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")"},
    {"prompt", R"("cat dance")", R"("cat dance")", R"("cat dance")"},
    {"thumbnail.url", R"("https://cdn/t.jpg")", R"("https://cdn/t.jpg")", "null"},
    {"thumbnail.width", "720", "1360", "720"},
    {"thumbnail.height", "1280", "752", "1280"},
    {"video_raw.url", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")"},
    {"video_raw.width", "720", "1360", "720"},
    {"video_raw.height", "1280", "752", "1280"},
    {"created_at", R"("2025-05-19T13:51:40.000Z")", R"("2025-05-19T13:51:40.000Z")",
     R"("2025-05-19T13:51:40.000Z")"},
    {"last_frame.url", "null", R"("https://cdn/l.jpg")", "null"},
    {"last_frame.width", "720", "1360", "720"},
    {"last_frame.height", "1280", "752", "1280"},
    {"queue_state", "null", R"("done")", "null"},
    {"estimate_wait_seconds", "null", "7", "null"},
};

constexpr field web_app_path[] = {
    {"id", R"("ours")", R"("ours")", R"("ours")"},
    {"state", R"("completed")", R"("completed")", R"("completed")"},
    {"video.url", R"("https://cdn/v.mp4")", R"("https://cdn/w.mp4")", R"("https://cdn/v.mp4")"},
    {"video.width", "720", "1360", "720"},
    {"video.height", "1280", "752", "1280"},
    {"video.download_url", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")"},
    {"request.prompt", R"("cat dance")", R"("cat dance")", R"("cat dance")"},
    {"request.aspect_ratio", R"("9:16")", R"("9:16")", R"("9:16")"},
    {"artifact.video.url", R"("https://cdn/v.mp4")", R"("https://cdn/w.mp4")", R"("https://cdn/v.mp4")"},
    {"artifact.video.width", "720", "1360", "720"},
    {"artifact.video.height", "1280", "752", "1280"},
    {"artifact.video.download_url", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")",
     R"("https://cdn/v.mp4")"},
    {"artifact.thumbnail.url", R"("https://cdn/t.jpg")", R"("https://cdn/t.jpg")", "null"},
    {"artifact.thumbnail.width", "720", "1360", "720"},
    {"artifact.thumbnail.height", "1280", "752", "1280"},
    {"artifact.thumbnail.palette", "null", R"({"grid":"em9c"})", "null"},
    {"artifact.thumbnail.palette.grid", "", R"("em9c")", ""},
    {"artifact.thumbnail.media_type", R"("image")", R"("image")", R"("image")"},
    {"artifact.video_raw.url", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")"},
    {"artifact.video_raw.width", "720", "1360", "720"},
    {"artifact.video_raw.height", "1280", "752", "1280"},
    {"artifact.video_raw.duration", "5", "5.041667", "5"},
    {"artifact.video_raw.media_type", R"("video")", R"("video")", R"("video")"},
    {"artifact.created_at", R"("2025-05-19T13:51:40.000Z")", R"("2025-05-19T13:51:40.000Z")",
     R"("2025-05-19T13:51:40.000Z")"},
    {"artifact.last_frame.url", "null", R"("https://cdn/l.jpg")", "null"},
    {"artifact.last_frame.width", "720", "1360", "720"},
    {"artifact.last_frame.height", "1280", "752", "1280"},
    {"artifact.last_frame.palette", "null", "null", "null"},
    {"artifact.last_frame.media_type", R"("image")", R"("image")", R"("image")"},
    {"thumbnail.url", R"("https://cdn/t.jpg")", R"("https://cdn/t.jpg")", "null"},
    {"thumbnail.width", "720", "1360", "720"},
    {"thumbnail.height", "1280", "752", "1280"},
    {"thumbnail.palette", "null", R"({"grid":"em9c"})", "null"},
    {"thumbnail.palette.grid", "", R"("em9c")", ""},
    {"thumbnail.media_type", R"("image")", R"("image")", R"("image")"},
    {"video_raw.url", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")", R"("https://cdn/v.mp4")"},
    {"video_raw.width", "720", "1360", "720"},
    {"video_raw.height", "1280", "752", "1280"},
    {"video_raw.duration", "5", "5.041667", "5"},
    {"video_raw.media_type", R"("video")", R"("video")", R"("video")"},
    {"created_at", R"("2025-05-19T13:51:40.000Z")", R"("2025-05-19T13:51:40.000Z")",
     R"("2025-05-19T13:51:40.000Z")"},
    {"last_frame.url", "null", R"("https://cdn/l.jpg")", "null"},
    {"last_frame.width", "720", "1360", "720"},
    {"last_frame.height", "1280", "752", "1280"},
    {"last_frame.palette", "null", "null", "null"},
    {"last_frame.media_type", R"("image")", R"("image")", R"("image")"},
};

constexpr field item[] = {
    {"id", "7", "7", "7"},
    {"created_at", R"("2025-05-19T13:51:40.000Z")", R"("2025-05-19T13:51:40.000Z")",
     R"("2025-05-19T13:51:40.000Z")"},
    {"updated_at", R"("2025-05-19T13:53:20.000Z")", R"("2025-05-19T13:53:20.000Z")",
     R"("2025-05-19T13:53:20.000Z")"},
    {"task_id", R"("ours")", R"("ours")", R"("ours")"},
    {"platform", R"("luma")", R"("luma")", R"("luma")"},
    {"action", R"("LUMA_VIDEO")", R"("LUMA_VIDEO")", R"("LUMA_VIDEO")"},
    {"status", R"("SUCCESS")", R"("SUCCESS")", R"("SUCCESS")"},
    {"fail_reason", R"("")", R"("")", R"("")"},
    {"submit_time", "1747662700", "1747662700", "1747662700"},
    {"start_time", "1747662710", "1747662710", "1747662710"},
    {"finish_time", "1747662800", "1747662800", "1747662800"},
    {"data.id", R"("ours")", R"("ours")", R"("ours")"},
    {"data.liked", "null", "true", "null"},
    {"data.state", R"("completed")", R"("completed")", R"("completed")"},
    {"data.video",
     R"({"url":"https://cdn/v.mp4","width":720,"height":1280,"download_url":"https://cdn/v.mp4"})",
     R"({"url":"https://cdn/w.mp4","width":1360,"height":752,"download_url":"https://cdn/v.mp4"})",
     R"({"url":"https://cdn/v.mp4","width":720,"height":1280,"download_url":"https://cdn/v.mp4"})"},
    {"data.prompt", R"("cat dance")", R"("cat dance")", R"("cat dance")"},
    {"data.created_at", R"("2025-05-19T13:51:42.302000Z")", R"("2025-05-19T13:51:42.302000Z")",
     R"("2025-05-19T13:51:40.000000Z")"},
    {"data.estimate_wait_seconds", "null", "7", "null"},
};

// The response to a create; nothing in it comes from the upstream.
constexpr field created[] = {
    {"id", R"("ours")", R"("ours")", R"("ours")"},
    {"state", R"("queued")", R"("queued")", R"("queued")"},
    {"failure_reason", "null", "null", "null"},
    {"created_at", R"("2025-05-19T13:51:40.000000Z")", R"("2025-05-19T13:51:40.000000Z")",
     R"("2025-05-19T13:51:40.000000Z")"},
    {"assets", "null", "null", "null"},
    {"version", "null", "null", "null"},
    {"request.prompt", R"("cat dance")", R"("cat dance")", R"("cat dance")"},
    {"request.aspect_ratio", R"("9:16")", R"("9:16")", R"("9:16")"},
    {"request.loop", "false", "false", "false"},
    {"request.keyframes", "null", "null", "null"},
    {"request.callback_url", "null", "null", "null"},
};

json::object golden(const std::string& name) {
  std::ifstream in(std::string(GOLDEN_DIR) + "/" + name);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse_lenient(text).value().as_object();
}

// The paths of all that is no object, and of objects that the tables have as a whole.
void paths(const json::value& v, const std::string& at, std::set<std::string>& out) {
  const json::object* o = v.if_object();
  if (o == nullptr) {
    out.insert(at);
    return;
  }
  for (const auto& m : *o) {
    const std::string name(view(m.key()));
    paths(m.value(), at.empty() ? name : at + "." + name, out);
  }
}

const json::value* at_path(const json::value& v, std::string_view path) {
  const json::value* here = &v;
  while (!path.empty()) {
    const auto dot = path.find('.');
    here = here->is_object() ? here->get_object().if_contains(path.substr(0, dot)) : nullptr;
    if (here == nullptr) return nullptr;
    path = dot == path.npos ? std::string_view{} : path.substr(dot + 1);
  }
  return here;
}

struct document {
  const char* name;
  std::function<json::value(const json::object&)> part;  // the object that is shown
  const task_form& form;
  std::span<const field> fields;
  task_state state;
};

TEST(seeds, every_field_behind_every_upstream) {
  const auto whole = [](const json::object& o) { return json::value(o); };
  const auto first_item = [](const json::object& o) { return o.at("data").as_array().at(0); };
  const document documents[] = {
      {"seed_000.json", whole, forms::official, official_path, task_state::completed},
      {"seed_001.json", whole, forms::web_app, web_app_path, task_state::completed},
      {"seed_002.json", whole, forms::official, official_path, task_state::completed},
      {"seed_003.json", whole, forms::created, created, task_state::queued},
      {"seed_004.json", first_item, forms::item, item, task_state::completed},
  };
  for (const document& d : documents) {
    std::set<std::string> in_table;
    for (const field& f : d.fields) in_table.insert(f.path);
    std::set<std::string> in_document;
    paths(d.part(golden(d.name)), "", in_document);
    for (const std::string& path : in_document)
      EXPECT_TRUE(in_table.contains(path)) << d.name << ": " << path;

    const std::pair<const char*, const char * field::*> upstreams[] = {
        {official_reply, &field::official}, {station_reply, &field::station}, {poor_reply, &field::poor}};
    for (const auto& [reply, column] : upstreams) {
      task t = luma_task();
      t.id = "ours";
      t.row = 7;
      t.state = d.state;
      t.request = R"({"prompt":"cat dance","aspect_ratio":"9:16","resolution":"720p","duration":"5s"})";
      t.created_at = timestamp(std::chrono::seconds(1'747'662'700));
      t.started_at = timestamp(std::chrono::seconds(1'747'662'710));
      t.updated_at = t.finished_at = timestamp(std::chrono::seconds(1'747'662'800));
      if (d.state == task_state::completed) t.reply = reply;
      const json::value got = shown(d.form, t, t.updated_at);
      for (const field& f : d.fields) {
        const json::value* there = at_path(got, f.path);
        if (*(f.*column) == '\0') {  // below a null
          EXPECT_EQ(there, nullptr) << d.name << ": " << f.path;
          continue;
        }
        ASSERT_NE(there, nullptr) << d.name << ": " << f.path << " is missing behind " << reply;
        EXPECT_EQ(*there, parse_lenient(f.*column).value())
            << d.name << ": " << f.path << " behind " << reply;
      }
    }
  }
}

// What an upstream says of a part is kept, and what it leaves out is there all the same.
TEST(seeds, an_artifact_that_lacks_something) {
  task t = luma_task();
  t.id = "ours";
  t.state = task_state::completed;
  t.request = R"({"prompt":"abc","duration":"9s"})";
  t.reply = R"({"id":"u","state":"completed","artifact":{"video":{"url":"https://cdn/v.mp4"},"extra":1,
                "video_raw":{"url":"https://cdn/r.mp4","duration":8.5}}})";
  const json::object got = shown(forms::web_app, t);
  const json::object& artifact = got.at("artifact").as_object();
  EXPECT_EQ(artifact.at("extra"), 1);
  EXPECT_EQ(artifact.at("video_raw").at("duration"), 8.5);
  EXPECT_EQ(artifact.at("video_raw").at("media_type"), "video");
  EXPECT_TRUE(artifact.at("last_frame").at("url").is_null());
  EXPECT_EQ(artifact.at("thumbnail").at("media_type"), "image");
  EXPECT_EQ(got.at("video_raw").at("duration"), 8.5);
}

TEST(seeds, nominal_seconds) {
  const std::pair<const char*, std::optional<std::int64_t>> rows[] = {
      {"5s", 5}, {"9s", 9},   {"10s", 10}, {"", {}},      {"s", {}},
      {"5", {}}, {"-5s", {}}, {"5 s", {}}, {"99999s", {}}};
  for (const auto& [text, seconds] : rows) EXPECT_EQ(luma::nominal_seconds(text), seconds) << text;
}

}  // namespace
}  // namespace relay::test
