// Clients that cannot run here, by what they send and what they read. ComfyUI's own nodes
// (comfy_api_nodes/nodes_luma.py and its client, May 2025 to 2026), the station front end
// chatgpt-web-midjourney-proxy (src/api/luma.ts), and station clients found in public code; their requests
// and the fields they read, none of their code.

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/pictures.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

const std::string public_url = "http://relay.test";

bool is_one_of(const json::value* v, std::initializer_list<const char*> words) {
  return v != nullptr && v->is_string() &&
         std::ranges::any_of(words, [v](const char* w) { return v->get_string() == w; });
}
bool null_or_one_of(const json::value* v, std::initializer_list<const char*> words) {
  return v == nullptr || v->is_null() || is_one_of(v, words);
}
bool is_text(const json::value* v) {
  return v != nullptr && v->is_string();
}
bool null_or_text(const json::value* v) {
  return v == nullptr || v->is_null() || v->is_string();
}

// What ComfyUI's response model demands of a create and of every poll; empty: it takes it.
std::string comfy_refuses(const json::object& o) {
  if (!is_text(o.if_contains("id"))) return "id";
  if (!is_one_of(o.if_contains("generation_type"), {"video", "image"})) return "generation_type";
  if (!is_one_of(o.if_contains("state"), {"queued", "dreaming", "completed", "failed"})) return "state";
  if (!is_text(o.if_contains("created_at"))) return "created_at";
  if (!is_text(o.if_contains("model"))) return "model";
  if (!null_or_text(o.if_contains("failure_reason"))) return "failure_reason";
  const json::value* assets = o.if_contains("assets");
  if (assets != nullptr && !assets->is_null()) {
    for (const char* name : {"video", "image", "progress_video"}) {
      if (!assets->is_object() || !null_or_text(assets->get_object().if_contains(name))) return name;
    }
  }
  const json::value* request = o.if_contains("request");
  if (request == nullptr || !request->is_object()) return "request";
  const json::object& r = request->get_object();
  if (!is_text(r.if_contains("prompt"))) return "request.prompt";
  if (!is_one_of(r.if_contains("model"), {"ray-2", "ray-flash-2", "ray-1-6", "photon-1", "photon-flash-1"}))
    return "request.model";
  if (!null_or_one_of(r.if_contains("aspect_ratio"), {"1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"}))
    return "request.aspect_ratio";
  if (!null_or_one_of(r.if_contains("resolution"), {"540p", "720p", "1080p", "4k"}))
    return "request.resolution";
  if (!null_or_one_of(r.if_contains("duration"), {"5s", "9s"})) return "request.duration";
  for (const char* name : {"image_ref", "style_ref"}) {
    const json::value* refs = r.if_contains(name);
    if (refs == nullptr || refs->is_null()) continue;
    for (const json::value& ref : refs->as_array()) {
      if (!is_text(ref.as_object().if_contains("url")) || !ref.at("weight").is_number()) return name;
    }
  }
  return "";
}

struct comfy_node {
  const char* name;
  std::string path;
  std::string body;    // FILE: a picture that was uploaded before
  const char* result;  // the member of `assets` that is downloaded
};

TEST(comfyui, every_node) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.public_url = public_url;
  running_relay relay(settings);
  const std::string key = "X-API-KEY: " + relay.token("me");
  const client comfy = relay.as_nobody();
  const std::string image = "/proxy/luma/generations/image";
  const std::string video = "/proxy/luma/generations";
  const comfy_node nodes[] = {
      {"text to image", image, R"({"prompt":"a cat","model":"photon-1","aspect_ratio":"16:9"})", "image"},
      {"text to image with references", image,
       R"({"prompt":"a cat","model":"photon-flash-1","aspect_ratio":"9:21",
           "image_ref":[{"url":"FILE","weight":0.5},{"url":"FILE","weight":1.0}],
           "style_ref":[{"url":"FILE","weight":1.0}],"character_ref":{"identity0":{"images":["FILE","FILE"]}}})",
       "image"},
      {"image to image", image,
       R"({"prompt":"a cat","model":"photon-1","aspect_ratio":"16:9","modify_image_ref":{"url":"FILE","weight":0.0}})",
       "image"},
      {"text to video", video,
       R"({"prompt":"a cat","model":"ray-2","duration":"5s","aspect_ratio":"16:9","resolution":"540p","loop":false,
           "concepts":[{"key":"zoom_in"},{"key":"pan_left"},{"key":"zoom_in"}]})",
       "video"},
      {"text to video, the oldest model", video,
       R"({"prompt":"a cat","model":"ray-1-6","aspect_ratio":"16:9","loop":true})", "video"},
      {"image to video", video,
       R"({"prompt":"","model":"ray-flash-2","duration":"9s","aspect_ratio":"16:9","resolution":"4k","loop":false,
           "keyframes":{"frame0":{"type":"image","url":"FILE"},"frame1":{"type":"image","url":"FILE"}}})",
       "video"},
      {"image to video, the last only", video,
       R"({"prompt":"a cat","model":"ray-2","duration":"5s","aspect_ratio":"16:9","resolution":"720p","loop":false,
           "keyframes":{"frame1":{"type":"image","url":"FILE"}}})",
       "video"},
  };
  // The upload first: a name, then the bytes, without a token and without a type.
  const std::string bytes = png(1'000'000);
  const auto upload = [&] {
    const response place = comfy.request("POST", "/customers/storage",
                                         R"({"file_name":"3f1c0b7e-7a55-4e6e-9d0e-1f5f0e6f2a11.png"})",
                                         {key, "Content-Type: application/json", "Accept: application/json"});
    EXPECT_EQ(place.status, 200) << place.body;
    const json::object told = place.json().as_object();
    const std::string put_to(text_of(told, "upload_url"));
    EXPECT_TRUE(put_to.starts_with(public_url)) << put_to;
    const response put = comfy.request("PUT", put_to.substr(public_url.size()), bytes);
    EXPECT_LT(put.status, 400) << put.body;
    return std::string(text_of(told, "download_url"));
  };
  for (const comfy_node& node : nodes) {
    std::string body = node.body;
    for (std::size_t at = 0; (at = body.find("FILE", at)) != body.npos;) {
      const std::string url = upload();
      body.replace(at, 4, url);
    }
    const response made =
        comfy.request("POST", node.path, body, {key, "Idempotency-Key: " + std::string(node.name)});
    ASSERT_EQ(made.status, 201) << node.name << made.body;
    EXPECT_EQ(comfy_refuses(made.json().as_object()), "") << node.name << made.body;
    const std::string id(text_of(made.json().as_object(), "id"));
    std::string state;
    for (int i = 0; i < 5'000 && state != "completed"; ++i) {
      const response poll = comfy.request("GET", "/proxy/luma/generations/" + id, "", {key});
      ASSERT_EQ(poll.status, 200) << node.name << poll.body;
      ASSERT_EQ(comfy_refuses(poll.json().as_object()), "") << node.name << poll.body;
      state = text_of(poll.json().as_object(), "state");
      if (state != "completed") continue;
      const json::object assets = poll.json().at("assets").as_object();
      EXPECT_TRUE(text_of(assets, node.result).starts_with("http")) << node.name << poll.body;
    }
    EXPECT_EQ(state, "completed") << node.name;
    // What was uploaded reached the upstream as it was named.
    const json::array creates = sim.log().at("creates").as_array();
    const std::string sent = json::serialize(creates.back().at("body"));
    EXPECT_EQ(sent.contains(public_url + "/assets/"), node.body.contains("FILE")) << node.name << sent;
  }
  // The words of an error are where it looks for them.
  const response wrong = comfy.request("POST", video, R"({"prompt":"","model":"ray-2"})", {key});
  EXPECT_EQ(wrong.status, 400);
  EXPECT_TRUE(wrong.json().at("error").at("message").is_string());
  EXPECT_TRUE(wrong.json().at("error").at("type").is_string());
}

// src/api/luma.ts: every call has a Content-Type, the body always has all its keys, pictures are data URIs.
TEST(luma_ts, the_whole_page) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.public_url = public_url;
  running_relay relay(settings);
  const std::vector<std::string> headers = {"Authorization: Bearer " + relay.token("me"),
                                            "Content-Type: application/json", "Origin: https://web.example"};
  const client page = relay.as_nobody();
  const auto call = [&](const std::string& method, const std::string& path, const std::string& body) {
    return page.request(method, path, body, headers);
  };
  const auto body_of = [](const std::string& image, const std::string& end) {
    return R"({"aspect_ratio":"16:9","loop":false,"expand_prompt":true,"image_url":")" + image +
           R"(","user_prompt":"a cat","image_end_url":")" + end + "\"}";
  };
  const auto watch = [&](const std::string& base, const std::string& id) {
    json::object got;
    for (int i = 0; i < 5'000; ++i) {
      const response r = call("GET", base + "/generations/" + id, "");
      EXPECT_EQ(r.status, 200) << r.body;
      got = r.json().as_object();
      EXPECT_EQ(text_of(got, "id"), id);
      EXPECT_TRUE(is_one_of(got.if_contains("state"), {"pending", "processing", "completed", "failed"}));
      const json::value* video = got.if_contains("video");
      if (text_of(got, "state") == "completed" && video != nullptr && video->is_object() &&
          !text_of(video->get_object(), "download_url").empty())
        return got;
    }
    ADD_FAILURE() << "it never stops";
    return got;
  };
  const std::string jpg = data_uri(jpeg(900'000), "image/jpeg");
  const std::string gif = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
  for (const std::string base : {"/luma", "/pro/luma"}) {
    const struct {
      const char* what;
      std::string image, end;
    } rows[] = {{"text", "", ""}, {"first", jpg, ""}, {"last", "", gif}, {"both", jpg, gif}};
    std::string id;
    for (const auto& row : rows) {
      const response made = call("POST", base + "/generations/", body_of(row.image, row.end));
      ASSERT_EQ(made.status, 201) << row.what << made.body;
      EXPECT_EQ(made.header("access-control-allow-origin"), "*");
      id = text_of(made.json().as_object(), "id");
      ASSERT_FALSE(id.empty());
      const json::object done = watch(base, id);
      EXPECT_EQ(text_of(done, "prompt"), "a cat");
      EXPECT_TRUE(text_of(done.at("video").as_object(), "url").starts_with("http"));
    }
    const response link = call("GET", "/luma/generations/" + id + "/download_video_url", "");
    EXPECT_EQ(link.status, 200);
    EXPECT_TRUE(text_of(link.json().as_object(), "url").starts_with("http"));
    const response longer = call("POST", base + "/generations/" + id + "/extend", body_of("", ""));
    ASSERT_EQ(longer.status, 201) << longer.body;
    watch(base, std::string(text_of(longer.json().as_object(), "id")));
  }
  // It shows error.message, and nothing else.
  const response wrong =
      call("POST", "/luma/generations/", R"({"user_prompt":"","image_url":"","image_end_url":""})");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_TRUE(wrong.json().at("error").at("message").is_string());
  const response early = call("GET", "/luma/generations/" + std::string(36, '0') + "/download_video_url", "");
  EXPECT_NE(early.status, 200);
}

// Where other clients of stations look in what they get: [client, request, fields].
TEST(station_clients, find_what_they_read) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const response made =
      c.post("/luma/generations",
             R"({"model_name":"ray-v2","user_prompt":"a cat","duration":"5s","resolution":"720p"})");
  ASSERT_EQ(made.status, 201) << made.body;
  const json::value first = made.json();
  EXPECT_TRUE(first.at("id").is_string());                    // 99ai, GeekAI
  EXPECT_EQ(first.at("data").at("task_id"), first.at("id"));  // Lingxi
  EXPECT_TRUE(first.at("created_at").is_string());            // GeekAI
  const std::string id(view(first.at("id").as_string()));
  const response early = c.get("/luma/generations/" + id + "/download_video_url");
  EXPECT_TRUE(early.status == 400 || early.status == 200);  // BLTCY: not 200 until it is there
  const json::value done = wait_for_state(c, "/luma/generations/" + id, "completed").json();
  EXPECT_EQ(done.at("status"), "completed");                                          // MemeFast
  EXPECT_EQ(done.at("result").at("video_url"), done.at("video").at("download_url"));  // a client of gpt.ge
  EXPECT_TRUE(done.at("assets").at("video").is_string());                             // memefast
  EXPECT_TRUE(done.at("thumbnail").is_object());        // GeekAI: an object, or its parser fails
  EXPECT_TRUE(done.at("video").at("url").is_string());  // 99ai
}

// ---- what must not be submitted

struct not_submitted {
  const char* what;
  std::string path;
  std::string body;
  int status;
};

TEST(nothing_is_submitted, for_what_another_job_is_meant_by) {
  const std::string v1 = "/dream-machine/v1/generations";
  const std::string web = "/luma/generations";
  const std::string u = R"("https://e.x/a.png")";
  const not_submitted rows[] = {
      // The type of another endpoint.
      {"image at generations", v1, R"({"prompt":"abc","generation_type":"image"})", 422},
      {"image at video", v1 + "/video", R"({"prompt":"abc","generation_type":"image"})", 422},
      {"video at image", v1 + "/image", R"({"prompt":"abc","generation_type":"video"})", 422},
      {"upscale at generations", v1, R"({"prompt":"abc","generation_type":"upscale_video"})", 422},
      {"modify at generations", v1, R"({"prompt":"abc","generation_type":"modify_video","mode":"flex_1"})",
       422},
      {"reframe of a video at that of an image", v1 + "/image/reframe",
       R"({"model":"photon-1","aspect_ratio":"1:1","media":{"url":)" + u +
           R"(},"generation_type":"reframe_video"})",
       422},
      {"image at modify", v1 + "/video/modify",
       R"({"mode":"flex_1","media":{"url":)" + u + R"(},"generation_type":"image"})", 422},
      {"image, by the web app", web, R"({"user_prompt":"abc","generation_type":"image"})", 422},
      // A modify that was posted to the wrong place, as one client does after a 404.
      {"media at generations", v1, R"({"prompt":"abc","media":{"url":)" + u + "}}", 422},
      {"modify's mode at generations", v1, R"({"prompt":"abc","mode":"adhere_1"})", 422},
      {"media, by the web app", web, R"({"user_prompt":"abc","media":{"url":)" + u + "}}", 422},
      // Pictures where nobody looks.
      {"image_url", v1, R"({"prompt":"abc","image_url":)" + u + "}", 422},
      {"image_urls", web, R"({"user_prompt":"abc","image_urls":[)" + u + "]}", 422},
      {"images", web, R"({"user_prompt":"abc","images":[)" + u + "]}", 422},
      {"a list in image", web, R"({"user_prompt":"abc","image":[)" + u + "]}", 422},
      {"content", web, R"({"user_prompt":"abc","content":[{"type":"image_url"}]})", 422},
      {"image_ref of a video", v1, R"({"prompt":"abc","image_ref":[{"url":)" + u + "}]}", 422},
      {"keyframes of an image", v1 + "/image",
       R"({"prompt":"abc","keyframes":{"frame0":{"type":"image","url":)" + u + "}}}", 422},
      {"image_url of an image", v1 + "/image", R"({"prompt":"abc","image_url":)" + u + "}", 422},
      {"image_end_url of an image", v1 + "/image", R"({"prompt":"abc","image_end_url":)" + u + "}", 422},
      {"first_frame of a video", v1, R"({"prompt":"abc","first_frame":{"url":)" + u + "}}", 422},
      {"a picture that is none", web,
       R"({"user_prompt":"abc","image_url":"data:image/png;base64,aGVsbG8gd29ybGQ="})", 422},
      // Words that the official API does not know.
      {"aspect ratio", v1, R"({"prompt":"abc","aspect_ratio":"2:1"})", 422},
      {"format", v1 + "/image", R"({"prompt":"abc","format":"gif"})", 422},
      {"weight", v1 + "/image", R"({"prompt":"abc","image_ref":[{"url":)" + u + R"(,"weight":7}]})", 400},
  };
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.public_url = public_url;
  running_relay relay(settings);
  const client c = relay.as("me");
  for (const not_submitted& row : rows) {
    const response r = c.post(row.path, row.body);
    EXPECT_EQ(r.status, row.status) << row.what << ": " << r.body;
  }
  EXPECT_EQ(sim.created(), 0);
  EXPECT_EQ(sim.log().at("refused"), 0) << "nor asked";
}

// What a station cannot do is refused at once when there is nothing but stations, and says what it needs.
TEST(nothing_is_submitted, for_what_no_upstream_can_do) {
  sim::options o = running_simulator::stepping();
  o.protocol = "station";
  const std::string v1 = "/dream-machine/v1/generations";
  const std::string media = R"("media":{"url":"https://e.x/a.mp4"})";
  const std::string generation = R"({"type":"generation","id":"01936e4f-a1b2-7000-8000-000000000001"})";
  const not_submitted rows[] = {
      {"image", v1 + "/image", R"({"prompt":"abc","model":"photon-1"})", 400},
      {"reframed image", v1 + "/image/reframe", R"({"model":"photon-1","aspect_ratio":"1:1",)" + media + "}",
       400},
      {"reframed video", v1 + "/video/reframe", R"({"aspect_ratio":"1:1",)" + media + "}", 400},
      {"modified video", v1 + "/video/modify", R"({"mode":"flex_1",)" + media + "}", 400},
      {"interpolation", v1,
       R"({"prompt":"abc","keyframes":{"frame0":)" + generation + R"(,"frame1":)" + generation + "}}", 400},
  };
  temp_dir dir;
  running_simulator sim(o);
  config settings = test_config(dir, sim.url());
  settings.upstreams[0].protocol = "station";
  running_relay relay(settings);
  const client c = relay.as("me");
  for (const not_submitted& row : rows) {
    const response r = c.post(row.path, row.body);
    EXPECT_EQ(r.status, row.status) << row.what << ": " << r.body;
    EXPECT_TRUE(r.body.contains("protocol \\\"luma\\\"") || r.body.contains("no generation"))
        << row.what << r.body;
  }
  EXPECT_EQ(sim.created(), 0);
  EXPECT_EQ(sim.log().at("refused"), 0);
  EXPECT_EQ(c.post("/luma/generations", R"({"user_prompt":"abc"})").status, 201) << "what it can do it does";
}

}  // namespace
}  // namespace relay::test
