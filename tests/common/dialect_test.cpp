// What each dialect understands and says.

#include <gtest/gtest.h>

#include "common/luma/media.hpp"
#include "common/luma/validation.hpp"
#include "common/luma/view.hpp"
#include "tests/support/luma.hpp"

namespace relay::test {
namespace {

using luma::frame_size;
using luma::nominal_size;
namespace actions = luma::actions;
namespace dialects = luma::dialects;
namespace forms = luma::forms;

json::value parse(const std::string& text) {
  return parse_lenient(text).value();
}

const std::string id = "9d4b7516-77e5-481a-b015-48313946f33b";
const std::string image = R"({"type":"image","url":"https://e.x/a.jpg"})";
const std::string generation = R"({"type":"generation","id":")" + id + R"("})";

struct parse_row {
  const char* what;
  std::string body;
  int status;           // 0: taken
  std::string message;  // a part of it
};

void check(const dialect& d, const relay::action& a, const std::vector<parse_row>& table) {
  for (const parse_row& row : table) {
    const auto r = d.parse_create(parse(row.body), a, {});
    if (row.status == 0) {
      EXPECT_TRUE(r) << row.what << ": " << (r ? "" : r.error().message.text);
      continue;
    }
    ASSERT_FALSE(r) << row.what;
    EXPECT_EQ(r.error().http_status(), row.status) << row.what << ": " << r.error().message.text;
    EXPECT_NE(r.error().message.text.find(row.message), std::string::npos)
        << row.what << ": " << r.error().message.text;
    EXPECT_FALSE(r.error().violations.empty()) << row.what;
  }
}

std::string frames(const std::string& first, const std::string& last, bool loop) {
  std::string k;
  if (!first.empty()) k += R"("frame0":)" + first;
  if (!last.empty()) k += (k.empty() ? "" : ",") + (R"("frame1":)" + last);
  return R"({"prompt":"abc","loop":)" + std::string(loop ? "true" : "false") + R"(,"keyframes":{)" + k + "}}";
}

TEST(dream_machine, the_official_rules_for_videos) {
  check(
      dialects::dream_machine, actions::generations,
      {
          {"smallest", R"({"prompt":"abc"})", 0, ""},
          {"nulls are absent",
           R"({"prompt":"abc","loop":null,"keyframes":null,"aspect_ratio":null,"callback_url":null})", 0, ""},
          {"5000 characters", R"({"prompt":")" + std::string(5000, 'a') + R"("})", 0, ""},
          {"characters, not bytes", R"({"prompt":"中文字"})", 0, ""},
          {"unknown fields",
           R"({"prompt":"abc","seed":7,"model":"ray-9","duration":"12s","resolution":"8k"})", 0, ""},
          {"image without prompt", R"({"keyframes":{"frame0":)" + image + "}}", 0, ""},
          {"concepts", R"({"prompt":"abc","concepts":[{"key":"orbit_left"}]})", 0, ""},
          {"null frames", R"({"prompt":"abc","keyframes":{"frame0":null,"frame1":null}})", 0, ""},

          {"no object", "[]", 422, "JSON object"},
          {"no prompt", "{}", 400, "prompt: Prompt is required"},
          {"empty prompt", R"({"prompt":""})", 400, "Prompt is required"},
          {"short", R"({"prompt":"ab"})", 400, "Prompt is too short, minimum length is 3 characters"},
          {"short in characters", R"({"prompt":"中文"})", 400, "Prompt is too short"},
          {"long", R"({"prompt":")" + std::string(5001, 'a') + R"("})", 400,
           "Prompt is too long, maximum length is 5000 characters"},
          {"prompt of a wrong type", R"({"prompt":7})", 422, "prompt: Input should be a valid string"},
          {"extend needs a prompt", R"({"keyframes":{"frame0":)" + generation + "}}", 400,
           "Prompt is required"},
          {"aspect ratio", R"({"prompt":"abc","aspect_ratio":"2:1"})", 422, "'21:9' or '9:21'"},
          {"aspect ratio type", R"({"prompt":"abc","aspect_ratio":16})", 422,
           "aspect_ratio: Input should be a valid string"},
          {"loop", R"({"prompt":"abc","loop":"maybe"})", 422, "loop: Input should be a valid boolean"},
          {"type of another endpoint", R"({"prompt":"abc","generation_type":"image"})", 422,
           "generation_type: Input should be 'video'"},
          {"model", R"({"prompt":"abc","model":2})", 422, "model"},
          {"no frames", R"({"prompt":"abc","keyframes":{}})", 400, "No keyframes provided"},
          {"keyframes type", R"({"prompt":"abc","keyframes":[]})", 422, "keyframes"},
          {"frame type", R"({"prompt":"abc","keyframes":{"frame0":"x"}})", 422, "keyframes.frame0"},
          {"frame without type", R"({"prompt":"abc","keyframes":{"frame0":{"url":"https://e.x/a"}}})", 422,
           "keyframes.frame0.type"},
          {"frame of another type", R"({"prompt":"abc","keyframes":{"frame0":{"type":"video"}}})", 422,
           "'image' or 'generation'"},
          {"image without url", R"({"prompt":"abc","keyframes":{"frame0":{"type":"image"}}})", 422,
           "keyframes.frame0.url: Field required"},
          {"image url",
           R"({"prompt":"abc","keyframes":{"frame1":{"type":"image","url":"file:///etc/passwd"}}})", 400,
           "keyframes.frame1.url"},
          {"generation without id", R"({"prompt":"abc","keyframes":{"frame0":{"type":"generation"}}})", 422,
           "keyframes.frame0.id: Field required"},
          {"generation id", R"({"prompt":"abc","keyframes":{"frame0":{"type":"generation","id":"../x"}}})",
           400, "keyframes.frame0.id"},
          {"concepts type", R"({"prompt":"abc","concepts":{"key":"x"}})", 422, "concepts"},
          {"concept without key", R"({"prompt":"abc","concepts":[{}]})", 422,
           "concepts.0.key: Field required"},
          {"callback type", R"({"prompt":"abc","callback_url":1})", 422, "callback_url"},
          {"callback length",
           R"({"prompt":"abc","callback_url":"https://e.x/)" + std::string(2048, 'a') + R"("})", 400,
           "callback_url"},
          {"all at once", R"({"prompt":"a","loop":true,"keyframes":{"frame1":)" + image + "}}", 400,
           "; loop: Loop is not supported for end frame"},
          {"types come first", R"({"prompt":"a","loop":2})", 422, "loop"},
      });
}

TEST(dream_machine, loop_and_frames) {
  check(dialects::dream_machine, actions::video,
        {
            {"loop alone", R"({"prompt":"abc","loop":true})", 0, ""},
            {"first image", frames(image, "", true), 0, ""},
            {"first generation", frames(generation, "", true), 0, ""},
            {"end frame", frames("", image, true), 400, "Loop is not supported for end frame"},
            {"both images", frames(image, image, true), 400, "Loop is not supported for keyframes"},
            {"extend reverse", frames("", generation, true), 400, "Loop is not supported for extend reverse"},
            {"video to image", frames(generation, image, true), 400,
             "Loop is not supported for interpolate video to image"},
            {"image to video", frames(image, generation, true), 400,
             "Loop is not supported for interpolate image to video"},
            {"two videos", frames(generation, generation, true), 400,
             "Loop is not supported for interpolate between two videos"},
            {"all of them without loop", frames(generation, image, false), 0, ""},
        });
}

TEST(dream_machine, images) {
  check(
      dialects::dream_machine, actions::image,
      {
          {"smallest", R"({"prompt":"abc","model":"photon-1"})", 0, ""},
          {"reference without prompt", R"({"modify_image_ref":{"url":"https://e.x/a.jpg"}})", 0, ""},
          {"one character", R"({"prompt":"猫"})", 0, ""},
          {"nothing", "{}", 400, "Prompt is required"},
          {"image_ref type", R"({"prompt":"abc","image_ref":{"a":1}})", 422, "image_ref"},
          {"reference without url", R"({"prompt":"abc","style_ref":[{"weight":1}]})", 422,
           "style_ref.0.url: Field required"},
          {"weight", R"({"prompt":"abc","image_ref":[{"url":"https://e.x/a","weight":2}]})", 400,
           "image_ref.0.weight"},
          {"weight type", R"({"prompt":"abc","image_ref":[{"url":"https://e.x/a","weight":"heavy"}]})", 422,
           "image_ref.0.weight"},
          {"url of another kind", R"({"prompt":"abc","modify_image_ref":{"url":"ftp://e.x/a"}})", 400,
           "modify_image_ref.url: Input should be an http or https URL"},
          {"weight as text", R"({"prompt":"abc","image_ref":[{"url":"https://e.x/图.jpg","weight":"0.5"}]})",
           0, ""},
          {"no second identity",
           R"({"prompt":"abc","character_ref":{"identity0":{"images":["https://e.x/a"]},"identity1":null}})",
           0, ""},
          {"identities", R"({"prompt":"abc","character_ref":{"identity0":{"images":["https://e.x/a"]}}})", 0,
           ""},
          {"identity without images", R"({"prompt":"abc","character_ref":{"identity0":{}}})", 422,
           "character_ref.identity0.images"},
          {"picture of an identity", R"({"prompt":"abc","character_ref":{"identity0":{"images":["x"]}}})",
           400, "character_ref.identity0.images.0"},
          {"format", R"({"prompt":"abc","format":"webp"})", 422, "Input should be 'jpg' or 'png'"},
          {"sync type", R"({"prompt":"abc","sync":"maybe"})", 422, "sync"},
          {"sync as text", R"({"prompt":"abc","sync":"true"})", 0, ""},
          {"time type", R"({"prompt":"abc","sync_timeout":"long"})", 422, "sync_timeout"},
          {"frames", R"({"prompt":"abc","keyframes":{"frame0":)" + image + "}}", 422,
           "pictures go into image_ref, style_ref, character_ref and modify_image_ref here"},
      });
  // @ai-sdk/luma's names.
  const auto r = parse_create(
      dialects::dream_machine,
      parse(
          R"({"prompt":"abc","image":[{"url":"https://e.x/u","weight":0.85}],"modify_image":{"url":"https://e.x/u","weight":1}})"),
      actions::image);
  ASSERT_TRUE(r);
  EXPECT_TRUE(r->request.contains("image_ref"));
  EXPECT_TRUE(r->request.contains("modify_image_ref"));
  EXPECT_FALSE(r->request.contains("image"));
}

// What would be lost in silence, and another job bought than the one that is meant.
TEST(dream_machine, what_a_job_is_made_of_is_never_dropped) {
  struct {
    const relay::action& a;
    std::string rest;
    const char* where;
  } const table[] = {{actions::generations, R"("prompt":"abc")", "keyframes.frame0 and keyframes.frame1"},
                     {actions::video, R"("prompt":"abc")", "keyframes.frame0"},
                     {actions::image, R"("prompt":"abc")", "image_ref"},
                     {actions::upscale, R"("resolution":"4k")", "takes no pictures"},
                     {actions::audio, R"("prompt":"rain")", "takes no pictures"}};
  for (const auto& row : table) {
    for (const std::string field :
         {R"("image_url":"https://e.x/a.jpg")", R"("image_urls":["https://e.x/a.jpg"])",
          R"("images":["https://e.x/a.jpg"])", R"("content":[{"type":"image_url"}])",
          R"("first_frame":{"url":"https://e.x/a.jpg"})"}) {
      const auto r =
          dialects::dream_machine.parse_create(parse("{" + row.rest + "," + field + "}"), row.a, id);
      ASSERT_FALSE(r) << row.a.name << field;
      EXPECT_EQ(r.error().http_status(), 422);
      EXPECT_TRUE(r.error().message.text.contains(row.where)) << r.error().message.text;
      EXPECT_EQ(r.error().violations.at(0).loc.at(1), field.substr(1, field.find('"', 1) - 1));
      EXPECT_EQ(r.error().violations.at(0).type, "extra_forbidden");
    }
    for (const std::string field : {R"("media":{"url":"https://e.x/a.mp4"})", R"("mode":"flex_1")"})
      EXPECT_FALSE(dialects::dream_machine.parse_create(parse("{" + row.rest + "," + field + "}"), row.a, id))
          << row.a.name << field;
    // Nothing is lost of what says nothing, nor of a word that means something else.
    for (const std::string field : {R"("image_url":"")", R"("images":[])", R"("media":null)",
                                    R"("content":"anime")", R"("mode":"pro")", R"("seed":7)"})
      EXPECT_TRUE(dialects::dream_machine.parse_create(parse("{" + row.rest + "," + field + "}"), row.a, id))
          << row.a.name << field;
  }
}

TEST(dream_machine, reframe_and_modify) {
  const std::string media = R"("media":{"url":"https://e.x/a.mp4"})";
  check(dialects::dream_machine, actions::video_reframe,
        {{"smallest", "{" + media + R"(,"aspect_ratio":"9:16"})", 0, ""},
         {"whole",
          "{" + media +
              R"(,"aspect_ratio":"9:16","model":"ray-2","generation_type":"reframe_video","prompt":"",
                 "first_frame":{"url":"https://e.x/a.jpg"},"grid_position_x":1,"resized_width":720})",
          0, ""},
         {"no media", R"({"aspect_ratio":"9:16"})", 422, "media: Field required"},
         {"media without url", R"({"media":{},"aspect_ratio":"9:16"})", 422, "media.url: Field required"},
         {"media of another kind", R"({"media":{"url":"file:///etc/passwd"},"aspect_ratio":"9:16"})", 400,
          "media.url: Input should be an http or https URL"},
         {"no aspect ratio", "{" + media + "}", 422, "aspect_ratio: Field required"},
         {"type of another endpoint",
          "{" + media + R"(,"aspect_ratio":"9:16","generation_type":"modify_video"})", 422,
          "generation_type: Input should be 'reframe_video'"},
         {"place type", "{" + media + R"(,"aspect_ratio":"9:16","x_start":"left"})", 422,
          "x_start: Input should be a valid integer"},
         {"long prompt",
          "{" + media + R"(,"aspect_ratio":"9:16","prompt":")" + std::string(5001, 'a') + R"("})", 400,
          "Prompt is too long"},
         {"frames", "{" + media + R"(,"aspect_ratio":"9:16","keyframes":{"frame0":)" + image + "}}", 422,
          "pictures go into media and first_frame here"}});
  check(dialects::dream_machine, actions::image_reframe,
        {{"smallest", R"({"media":{"url":"https://e.x/a.jpg"},"aspect_ratio":"1:1","model":"photon-1"})", 0,
          ""},
         {"no model", R"({"media":{"url":"https://e.x/a.jpg"},"aspect_ratio":"1:1"})", 422,
          "model: Field required"},
         {"format",
          R"({"media":{"url":"https://e.x/a.jpg"},"aspect_ratio":"1:1","model":"photon-1","format":"gif"})",
          422, "format"},
         {"first frame", R"({"media":{"url":"https://e.x/a.jpg"},"aspect_ratio":"1:1","model":"photon-1",
                            "first_frame":{"url":"https://e.x/a.jpg"}})",
          422, "pictures go into media here"}});
  check(dialects::dream_machine, actions::video_modify,
        {{"smallest", "{" + media + R"(,"mode":"adhere_1"})", 0, ""},
         {"no mode", "{" + media + "}", 422, "mode: Field required"},
         {"mode", "{" + media + R"(,"mode":"adhere_4"})", 422, "'reimagine_3'"}});
}

TEST(dream_machine, booleans_as_pydantic_reads_them) {
  const struct {
    const char *sent, *read;
  } table[] = {{R"("true")", "true"}, {R"("True")", "true"}, {R"("1")", "true"},      {"1", "true"},
               {R"("on")", "true"},   {R"("no")", "false"},  {R"("FALSE")", "false"}, {"0", "false"}};
  for (const auto& row : table) {
    const auto r =
        parse_create(dialects::dream_machine,
                     parse(R"({"prompt":"abc","loop":)" + std::string(row.sent) + "}"), actions::video);
    ASSERT_TRUE(r) << row.sent;
    EXPECT_EQ(json::serialize(r->request.at("loop")), row.read) << row.sent;
  }
  // And numbers.
  const struct {
    const char *sent, *read;
  } numbers[] = {{R"("30")", "30"}, {R"("2.5")", "2.5E0"}, {"30", "30"}};
  for (const auto& row : numbers) {
    const auto r = parse_create(dialects::dream_machine,
                                parse(R"({"prompt":"abc","sync_timeout":)" + std::string(row.sent) + "}"),
                                actions::image);
    ASSERT_TRUE(r) << row.sent;
    EXPECT_EQ(json::serialize(r->request.at("sync_timeout")), row.read) << row.sent;
  }
}

TEST(dream_machine, a_violation_is_in_pydantics_form_with_text_only) {
  const auto r = parse_create(dialects::dream_machine, parse(R"({"prompt":"a"})"), actions::generations);
  ASSERT_FALSE(r);
  const json::object body = luma::render_official_error(r.error());
  EXPECT_EQ(
      body.at("detail"),
      parse(
          R"([{"type":"string_too_short","loc":["body","prompt"],"msg":"Prompt is too short, minimum length is 3 characters","input":"a"}])"));
  EXPECT_EQ(body.at("error").as_object().at("code"), "invalid_request");
  EXPECT_EQ(body.at("error").as_object().at("message"),
            "prompt: Prompt is too short, minimum length is 3 characters");
}

TEST(luma, the_body_of_the_most_used_front_end) {
  const auto r = parse_create(
      dialects::web_app,
      parse(
          R"({"aspect_ratio":"16:9","loop":false,"expand_prompt":true,"image_url":"","user_prompt":"cat dance","image_end_url":""})"),
      actions::generations);
  ASSERT_TRUE(r) << r.error().message.text;
  EXPECT_EQ(r->request,
            parse(R"({"aspect_ratio":"16:9","loop":false,"expand_prompt":true,"prompt":"cat dance"})"));
  EXPECT_EQ(r->callback_url, "");
}

TEST(luma, images_hooks_and_spellings) {
  const auto r = parse_create(
      dialects::web_app,
      parse(
          R"({"user_prompt":"","image_url":"https://e.x/a.jpg","image_end_url":"https://e.x/b.jpg","model_name":"ray-v2",
                "duration":"5","notify_hook":"https://me.x/hook"})"),
      actions::generations);
  ASSERT_TRUE(r) << r.error().message.text;
  EXPECT_EQ(r->request, parse(R"({"keyframes":{"frame0":{"type":"image","url":"https://e.x/a.jpg"},
                                               "frame1":{"type":"image","url":"https://e.x/b.jpg"}},"model":"ray-v2","duration":"5s"})"));
  EXPECT_EQ(r->callback_url, "https://me.x/hook");
}

TEST(luma, a_front_end_that_puts_things_elsewhere) {
  const auto r =
      parse_create(dialects::web_app, parse(R"({"prompt":"abc","duration":"5s","image":"https://e.x/a.jpg",
                "metadata":{"aspect_ratio":"9:16","resolution":"720p","image_end":"https://e.x/b.jpg","other":""}})"),
                   actions::generations);
  ASSERT_TRUE(r) << r.error().message.text;
  EXPECT_EQ(r->request, parse(R"({"prompt":"abc","duration":"5s","aspect_ratio":"9:16","resolution":"720p",
                                  "keyframes":{"frame0":{"type":"image","url":"https://e.x/a.jpg"},
                                               "frame1":{"type":"image","url":"https://e.x/b.jpg"}}})"));
}

TEST(luma, refuses_in_the_clients_own_field_names) {
  check(
      dialects::web_app, actions::generations,
      {
          {"official body", R"({"prompt":"abc"})", 0, ""},
          {"duration number", R"({"user_prompt":"abc","duration":5})", 0, ""},
          {"empty", R"({"user_prompt":""})", 400, "user_prompt: Prompt is required"},
          {"short", R"({"user_prompt":"a"})", 400, "user_prompt: Prompt is too short"},
          {"image", R"({"user_prompt":"abc","image_url":"nope"})", 400, "image_url: Input should be an http"},
          {"base64", R"({"user_prompt":"abc","image_url":"file:///a.jpg"})", 400, "base64"},
          {"image type", R"({"user_prompt":"abc","image_end_url":7})", 422, "image_end_url"},
          {"pictures in another field", R"({"user_prompt":"abc","image_urls":["https://e.x/a.jpg"]})", 422,
           "image_urls: Extra inputs are not permitted"},
          {"a list of pictures", R"({"user_prompt":"abc","image":["https://e.x/a.jpg"]})", 422, "image"},
          {"parts", R"({"user_prompt":"abc","content":[{"type":"text"}]})", 422, "content"},
          {"loop as text", R"({"user_prompt":"abc","loop":"false","expand_prompt":"true"})", 0, ""},
          {"hook type", R"({"user_prompt":"abc","notify_hook":{}})", 422, "notify_hook"},
          {"no object", R"("x")", 422, "JSON object"},
      });
}

TEST(luma, an_extension_begins_with_what_it_extends) {
  const auto extend = [](const std::string& rest) {
    return dialects::web_app.parse_create(parse(R"({"user_prompt":"go on")" + rest + "}"),
                                          actions::generations, id);
  };
  ASSERT_TRUE(extend(R"(,"image_url":"")"));
  EXPECT_TRUE(extend(R"(,"image_end_url":"https://e.x/b.jpg")"));
  for (const std::string field : {"image_url", "image", "keyframes"}) {
    const auto r = extend(",\"" + field + "x\":1,\"" + field + "\":" +
                          (field == "keyframes" ? R"({"frame0":)" + image + "}" : R"("https://e.x/a.jpg")"));
    ASSERT_FALSE(r) << field;
    EXPECT_EQ(r.error().http_status(), 422);
    EXPECT_EQ(r.error().violations.at(0).loc.at(1), field);
  }
}

TEST(tasks, ids) {
  const auto ok =
      dialects::tasks.parse_ids(parse(R"({"ids":["b","a","b","9D4B7516-77E5-481A-B015-48313946F33B"]})"), 10);
  ASSERT_TRUE(ok);
  EXPECT_EQ(*ok, (std::vector<std::string>{"b", "a", id}));
  EXPECT_TRUE(dialects::tasks.parse_ids(parse(R"({"ids":[]})"), 10)->empty());
  struct {
    const char* body;
    int status;
  } const table[] = {{"[]", 422},
                     {"{}", 422},
                     {R"({"ids":null})", 422},
                     {R"({"ids":"a"})", 422},
                     {R"({"ids":[1]})", 422},
                     {R"({"ids":["a","b","c"]})", 400}};
  for (const auto& row : table) {
    const auto r = dialects::tasks.parse_ids(parse(row.body), 2);
    ASSERT_FALSE(r) << row.body;
    EXPECT_EQ(r.error().http_status(), row.status) << row.body;
  }
}

TEST(tasks, the_words_of_each_state) {
  struct {
    task_state state;
    const char *official, *web_app, *envelope, *progress;
  } const table[] = {
      {task_state::pending, "queued", "pending", "SUBMITTED", "0%"},
      {task_state::submitting, "queued", "pending", "SUBMITTED", "0%"},
      {task_state::queued, "queued", "pending", "QUEUED", "10%"},
      {task_state::running, "dreaming", "processing", "IN_PROGRESS", "20%"},
      {task_state::completed, "completed", "completed", "SUCCESS", "100%"},
      {task_state::failed, "failed", "failed", "FAILURE", "100%"},
  };
  for (const auto& row : table) {
    task t = luma_task();
    t.state = row.state;
    t.request = R"({"prompt":"abc"})";
    t.fail_reason = "why";
    const json::object item = shown(forms::item, t, t.started_at);
    EXPECT_EQ(shown(forms::official, t, {}).at("state"), row.official);
    EXPECT_EQ(shown(forms::web_app, t, {}).at("state"), row.web_app);
    EXPECT_EQ(item.at("status"), row.envelope);
    EXPECT_EQ(item.at("progress"), row.progress);
    EXPECT_EQ(item.at("fail_reason"), row.state == task_state::failed ? "why" : "");
    EXPECT_EQ(shown(forms::official, t, {}).at("failure_reason").is_null(), row.state != task_state::failed);
    if (row.state != task_state::completed) {
      EXPECT_TRUE(shown(forms::official, t, {}).at("assets").is_null());
      EXPECT_TRUE(shown(forms::web_app, t, {}).at("video").is_null());
    }
  }
}

TEST(view, progress_while_dreaming) {
  task t = luma_task();
  t.state = task_state::running;
  t.started_at = timestamp(std::chrono::hours(1));
  EXPECT_EQ(luma::progress_of(t, t.started_at), 20);
  EXPECT_EQ(luma::progress_of(t, t.started_at + std::chrono::seconds(60)), 55);
  EXPECT_EQ(luma::progress_of(t, t.started_at + std::chrono::hours(1)), 90);
  t.progress = 42;
  EXPECT_EQ(luma::progress_of(t, t.started_at), 42);
}

TEST(view, a_preview_is_shown_while_a_video_dreams_but_not_an_empty_object) {
  task t = luma_task();
  t.state = task_state::running;
  t.request = R"({"prompt":"abc"})";
  t.reply =
      R"({"id":"u","state":"dreaming","assets":{"progress_video":"https://cdn/p.mp4","video":null,"image":null}})";
  EXPECT_TRUE(shown(forms::official, t, {}).at("assets").is_object());
  t.action = &actions::image;  // @ai-sdk/luma fails on an object without an image
  EXPECT_TRUE(shown(forms::official, t, {}).at("assets").is_null());
  t.action = &actions::generations;
  t.reply = R"({"id":"u","state":"dreaming","assets":{"progress_video":null,"video":null,"image":null}})";
  EXPECT_TRUE(shown(forms::official, t, {}).at("assets").is_null());
}

TEST(view, nominal_sizes) {
  struct {
    const char *ratio, *resolution;
    int width, height;
  } const table[] = {{"16:9", "720p", 1280, 720}, {"9:16", "1080p", 1080, 1920}, {"1:1", "540p", 540, 540},
                     {"16:9", "4k", 3840, 2160},  {"21:9", "", 1680, 720},       {"", "", 1280, 720},
                     {"a:b", "xp", 1280, 720},    {"0:0", "99999p", 1280, 720}};
  for (const auto& row : table) {
    const frame_size s = nominal_size(row.ratio, row.resolution);
    EXPECT_EQ(s.width, row.width) << row.ratio << " " << row.resolution;
    EXPECT_EQ(s.height, row.height) << row.ratio << " " << row.resolution;
  }
}

task asked(const std::string& request, const relay::action& a = actions::generations) {
  task t = luma_task(a);
  t.request = request;
  return t;
}

result<outgoing> sent(const task& t, const protocol& p, const outgoing_settings& with,
                      const id_translation& translate) {
  return p.build_create(t, with, translate);
}

// Whatever an upstream calls its job, it is one segment of the path.
TEST(protocols, ids_are_escaped_in_paths) {
  EXPECT_EQ(luma::official_protocol.build_fetch("a/b c"), "/generations/a%2Fb%20c");
  EXPECT_EQ(luma::station_protocol.build_fetch("a/b c"), "/luma/generations/a%2Fb%20c");
  const id_translation translate = [](const std::string&) { return std::optional<std::string>("x?y"); };
  task t = luma_task(luma::actions::upscale);
  t.request = R"({"id":"01a1febd-e3dc-7036-8b4b-87f37e9be59c","resolution":"4k"})";
  EXPECT_EQ(luma::official_protocol.build_create(t, {}, translate)->path, "/generations/x%3Fy/upscale");
  t = luma_task();
  t.request =
      R"({"prompt":"on","keyframes":{"frame0":{"type":"generation","id":"01a1febd-e3dc-7036-8b4b-87f37e9be59c"}}})";
  EXPECT_EQ(luma::station_protocol.build_create(t, {}, translate)->path, "/luma/generations/x%3Fy/extend");
}

TEST(protocols, what_goes_upstream) {
  const protocol& luma_api = luma::official_protocol;
  const protocol& station = luma::station_protocol;
  const id_translation none = [](const std::string&) { return std::nullopt; };
  const id_translation theirs = [](const std::string& ours) {
    return std::optional<std::string>("up-" + ours.substr(0, 4));
  };
  const std::string extend =
      R"({"prompt":"abc","keyframes":{"frame0":{"type":"generation","id":")" + id + R"("}}})";
  const model_names names{{{"ray-v2", "ray-2"}, {"fast", "ray-flash-2"}},
                          {{"video-modify", "ray-flash-2"}, {"image-reframe", "photon-flash-1"}}};
  struct {
    const char* what;
    task t;
    const protocol& speaks;
    const char* path;
    const char* body;
  } const table[] = {
      {"another name", asked(R"({"prompt":"abc","model":"fast"})"), luma_api, "/generations",
       R"({"prompt":"abc","model":"ray-flash-2"})"},
      {"another name, for a station", asked(R"({"prompt":"abc","model":"fast"})"), station,
       "/luma/generations", R"({"user_prompt":"abc","model_name":"ray-flash-2","aspect_ratio":"16:9"})"},
      {"its own spelling, for a station", asked(R"({"prompt":"abc","model":"ray-v2"})"), station,
       "/luma/generations", R"({"user_prompt":"abc","model_name":"ray-v2","aspect_ratio":"16:9"})"},
      {"what is no text is the upstream's to refuse", asked(R"({"prompt":"abc","model":5})"), luma_api,
       "/generations", R"({"prompt":"abc","model":5})"},
      {"default of an action", asked(R"({"prompt":"abc"})", actions::image_reframe), luma_api,
       "/generations/image/reframe",
       R"({"prompt":"abc","model":"photon-flash-1","generation_type":"reframe_image"})"},
      {"default model", asked(R"({"prompt":"abc"})"), luma_api, "/generations",
       R"({"prompt":"abc","model":"ray-2"})"},
      {"the client's path", asked(R"({"prompt":"abc","model":"ray-flash-2"})", actions::video), luma_api,
       "/generations/video", R"({"prompt":"abc","model":"ray-flash-2"})"},
      {"images get no video model", asked(R"({"prompt":"abc"})", actions::image), luma_api,
       "/generations/image", R"({"prompt":"abc"})"},
      {"station spelling", asked(R"({"prompt":"abc","model":"ray-v2","expand_prompt":true,"seed":1})"),
       luma_api, "/generations", R"({"prompt":"abc","model":"ray-2","seed":1})"},
      {"ids are translated", asked(extend), luma_api, "/generations",
       R"({"prompt":"abc","keyframes":{"frame0":{"type":"generation","id":"up-9d4b"}},"model":"ray-2"})"},
      {"station body",
       asked(
           R"({"prompt":"abc","model":"ray-2","keyframes":{"frame0":{"type":"image","url":"a"},"frame1":{"type":"image","url":"b"}}})"),
       station, "/luma/generations",
       R"({"user_prompt":"abc","model_name":"ray-v2","aspect_ratio":"16:9","image_url":"a","image_end_url":"b"})"},
      {"station extend", asked(extend), station, "/luma/generations/up-9d4b/extend",
       R"({"user_prompt":"abc","aspect_ratio":"16:9"})"},
      {"billing names", asked(R"({"prompt":"abc","model":"luma_video_api"})"), luma_api, "/generations",
       R"({"prompt":"abc","model":"ray-2"})"},
      {"upscale: the id goes into the path, no model",
       asked(R"({"id":")" + id + R"(","resolution":"4k"})", actions::upscale), luma_api,
       "/generations/up-9d4b/upscale", R"({"resolution":"4k"})"},
      {"audio", asked(R"({"id":")" + id + R"(","prompt":"rain"})", actions::audio), luma_api,
       "/generations/up-9d4b/audio", R"({"prompt":"rain"})"},
      {"what some clients leave out is sent",
       asked(R"({"media":{"url":"u"},"mode":"flex_1"})", actions::video_modify), luma_api,
       "/generations/video/modify",
       R"({"media":{"url":"u"},"mode":"flex_1","model":"ray-flash-2","generation_type":"modify_video"})"},
      {"reframe",
       asked(R"({"media":{"url":"u"},"aspect_ratio":"1:1","model":"photon-1"})", actions::image_reframe),
       luma_api, "/generations/image/reframe",
       R"({"media":{"url":"u"},"aspect_ratio":"1:1","model":"photon-1","generation_type":"reframe_image"})"},
  };
  for (const auto& row : table) {
    const auto out = sent(row.t, row.speaks, {"ray-2", "", names}, theirs);
    ASSERT_TRUE(out) << row.what;
    EXPECT_EQ(out->path, row.path) << row.what;
    EXPECT_EQ(parse(out->body), parse(row.body)) << row.what;
  }
  EXPECT_FALSE(sent(asked(extend), luma_api, {}, none));
  EXPECT_FALSE(sent(asked(R"({"id":")" + id + R"("})", actions::upscale), luma_api, {}, none));
  EXPECT_EQ(parse(sent(asked(R"({"prompt":"abc"})"), luma_api, {}, none)->body),
            parse(R"({"prompt":"abc"})"));
  // The relay's own address goes upstream, never the client's.
  task marked = asked(R"({"prompt":"abc"})");
  marked.id = "t-1";
  marked.marker = "s3cret";
  marked.callback_url = "https://client.example.com/hook";
  EXPECT_EQ(parse(sent(marked, luma_api, {"", "https://relay.example.com/", {}}, none)->body),
            parse(R"({"prompt":"abc","callback_url":"https://relay.example.com/callbacks/t-1/s3cret"})"));
  EXPECT_EQ(parse(sent(marked, station, {"", "https://r", {}}, none)->body).as_object().at("notify_hook"),
            "https://r/callbacks/t-1/s3cret");
  EXPECT_EQ(parse(sent(marked, luma_api, {}, none)->body), parse(R"({"prompt":"abc"})"));
  for (const relay::action* a : {&actions::image, &actions::upscale, &actions::audio, &actions::image_reframe,
                                 &actions::video_reframe, &actions::video_modify})
    EXPECT_NE(station.obstacle(asked("{}", *a), {}), "") << a->name;
  EXPECT_EQ(station.obstacle(asked(extend), {}), "");
}

TEST(dream_machine, upscale_and_audio_build_on_the_generation_in_the_path) {
  const auto up = dialects::dream_machine.parse_create(
      parse(R"({"resolution":"4k","callback_url":"https://e.x/h","id":"of the client's own","x":1})"),
      actions::upscale, id);
  ASSERT_TRUE(up) << up.error().message.text;
  EXPECT_EQ(up->request, parse(R"({"resolution":"4k","id":")" + id + R"(","x":1})"));
  EXPECT_EQ(up->callback_url, "https://e.x/h");
  EXPECT_EQ(up->references, (std::vector<reference>{{id, "id"}}));
  EXPECT_TRUE(dialects::dream_machine.parse_create(parse("{}"), actions::audio, id))
      << "every field is optional";
  const auto wrong =
      dialects::dream_machine.parse_create(parse(R"({"negative_prompt":1,"prompt":[]})"), actions::audio, id);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().http_status(), 422);
  EXPECT_NE(wrong.error().message.text.find("prompt: Input should be a valid string; negative_prompt"),
            std::string::npos)
      << wrong.error().message.text;

  task t = asked(json::serialize(up->request), actions::upscale);
  t.state = task_state::completed;
  t.reply = R"({"id":"u","state":"completed","assets":{"video":"https://cdn/v.mp4"}})";
  const json::object official = shown(forms::official, t);
  EXPECT_EQ(official.at("generation_type"), "video");
  EXPECT_EQ(official.at("request"),
            parse(R"({"resolution":"4k","x":1,"generation_type":"upscale_video","callback_url":null})"));
  EXPECT_EQ(official.at("video").as_object().at("height"), 2160);
  EXPECT_EQ(shown(forms::item, t).at("action"), "LUMA_UPSCALE");
  EXPECT_EQ(shown(forms::web_app, t).at("request").as_object().at("prompt"), "");
}

// Rule R1: what is kept, sent on and shown again with every read has a limit.
TEST(dialects, what_stands_beside_the_prompt_has_64_kib_in_all) {
  const auto parsed = [](const std::string& more) {
    const json::value body = parse_lenient(R"({"prompt":"abc")" + more + "}").value();
    return test::parse_create(luma::dialects::dream_machine, body, luma::actions::generations);
  };
  const auto text = [](std::size_t n) { return std::string(n, 'x'); };
  EXPECT_TRUE(parsed(R"(,"a":")" + text(65'000) + "\""));
  EXPECT_TRUE(parsed(R"(,"a":")" + text(32'000) + R"(","b":{"c":[")" + text(32'000) + "\"]}"));
  const auto one = parsed(R"(,"a":")" + text(66'000) + "\"");
  ASSERT_FALSE(one);
  EXPECT_NE(one.error().message.text.find("65536 bytes in all"), std::string::npos)
      << one.error().message.text;
  EXPECT_EQ(one.error().http_status(), 400);
  EXPECT_FALSE(parsed(R"(,"a":")" + text(33'000) + R"(","b":{"c":[")" + text(33'000) + "\"]}"));
  std::string numbers = ",\"a\":[0";
  for (int i = 0; i < 10'000; ++i) numbers += ",0";
  EXPECT_FALSE(parsed(numbers + "]"));
}

}  // namespace
}  // namespace relay::test
