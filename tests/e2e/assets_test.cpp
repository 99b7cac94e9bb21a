// Pictures and videos that clients hand over as bytes: an upstream gets an address, which serves the same
// bytes until the job that needs them has ended, and no longer.

#include <gtest/gtest.h>

#include "tests/support/pictures.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

namespace fs = std::filesystem;

const std::string official = "/dream-machine/v1/generations";
const std::string web_app = "/luma/generations";
const std::string public_url = "http://relay.test";

struct asset : ::testing::Test {
  asset() : settings(test_config(dir, sim.url())) {
    settings.server.public_url = public_url;
    settings.assets.keep = std::chrono::hours(1);
  }
  void start() {
    relay.reset();
    relay = std::make_unique<running_relay>(settings);
    if (token.empty()) token = relay->token("me");
  }
  client me() const { return client(relay->port(), "Bearer " + token); }
  client nobody() const { return client(relay->port()); }

  std::string folder() const { return dir.file("relay.db.assets"); }
  // Files of the folder, those that are being received included; marks of jobs are none.
  int files(bool marks = false) const {
    int n = 0;
    for (const auto& e : fs::recursive_directory_iterator(folder())) {
      const bool is_mark = e.path().filename().string().size() > 50;
      if (e.is_regular_file() && is_mark == marks) ++n;
    }
    return n;
  }
  // Looked at after each answer of the relay to something else.
  bool becomes(const std::function<bool()>& holds) const {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      nobody().get("/healthz");
    }
    return true;
  }
  // What the upstream was asked last.
  json::object asked() const {
    const json::array creates = sim.log().at("creates").as_array();
    return creates.back().as_object().at("body").as_object();
  }
  // An address of the relay's, as an upstream fetches it.
  response fetch(std::string_view url, const std::vector<std::string>& headers = {}) const {
    EXPECT_TRUE(url.starts_with(public_url + "/assets/")) << url;
    return nobody().request("GET", std::string(url.substr(public_url.size())), {}, headers);
  }

  temp_dir dir;
  running_simulator sim;
  config settings;
  std::unique_ptr<running_relay> relay;
  std::string token;
};

// Where a file is in a request, and what the upstream got in its place.
struct field {
  const char* what;
  std::string path;
  std::string body;   // FILE: the file
  std::string where;  // JSON pointer in what the upstream was asked
};

TEST_F(asset, each_field_that_has_a_file) {
  settings.poll.interval = milliseconds(600'000);
  start();
  const std::string one = R"({"prompt":"abc",)";
  const field rows[] = {
      {"image_url", web_app, R"({"user_prompt":"abc","image_url":"FILE","image_end_url":""})",
       "/keyframes/frame0/url"},
      {"image_end_url", web_app,
       R"({"user_prompt":"","image_url":"https://e.x/a.png","image_end_url":"FILE"})",
       "/keyframes/frame1/url"},
      {"image", web_app, R"({"prompt":"abc","image":"FILE"})", "/keyframes/frame0/url"},
      {"keyframes", web_app, one + R"("keyframes":{"frame1":{"type":"image","url":"FILE"}}})",
       "/keyframes/frame1/url"},
      {"frame0", official, one + R"("keyframes":{"frame0":{"type":"image","url":"FILE"}}})",
       "/keyframes/frame0/url"},
      {"frame1", official + "/video", one + R"("keyframes":{"frame1":{"type":"image","url":"FILE"}}})",
       "/keyframes/frame1/url"},
      {"image_ref", official + "/image", one + R"("image_ref":[{"url":"https://e.x/a"},{"url":"FILE"}]})",
       "/image_ref/1/url"},
      {"image", official + "/image", one + R"("image":[{"url":"FILE","weight":0.5}]})", "/image_ref/0/url"},
      {"style_ref", official + "/image", one + R"("style_ref":[{"url":"FILE"}]})", "/style_ref/0/url"},
      {"character_ref", official + "/image", one + R"("character_ref":{"identity0":{"images":["FILE"]}}})",
       "/character_ref/identity0/images/0"},
      {"modify_image_ref", official + "/image", one + R"("modify_image_ref":{"url":"FILE"}})",
       "/modify_image_ref/url"},
      {"image media", official + "/image/reframe",
       R"({"model":"photon-1","aspect_ratio":"16:9","media":{"url":"FILE"}})", "/media/url"},
      {"first_frame", official + "/video/modify",
       R"({"mode":"flex_1","media":{"url":"https://e.x/a.mp4"},"first_frame":{"url":"FILE"}})",
       "/first_frame/url"},
      {"video media", official + "/video/modify", R"({"mode":"flex_1","media":{"url":"VIDEO"}})",
       "/media/url"},
      {"reframed", official + "/video/reframe", R"({"aspect_ratio":"1:1","media":{"url":"VIDEO"}})",
       "/media/url"},
  };
  // In the head's packet, beyond it, and beyond what stays in memory.
  for (const std::size_t size : {200u, 20'000u, 300'000u}) {
    for (const field& row : rows) {
      const bool is_video = row.body.contains("VIDEO");
      const std::string bytes = is_video ? mp4(size) : png(size);
      for (const bool bare : {false, true}) {
        std::string body = row.body;
        const std::string name = is_video ? "VIDEO" : "FILE";
        body.replace(body.find(name), name.size(), bare ? in_base64(bytes) : data_uri(bytes));
        const response r = me().post(row.path, body);
        ASSERT_EQ(r.status, 201) << row.what << " " << size << ": " << r.body.substr(0, 500);
        const json::value sent = asked();
        const std::string url(view(sent.at_pointer(row.where).as_string()));
        const response file = fetch(url);
        EXPECT_EQ(file.status, 200) << url;
        EXPECT_TRUE(file.body == bytes) << row.what << " " << size;
        EXPECT_EQ(file.header("content-type"), is_video ? "video/mp4" : "image/png");
        EXPECT_EQ(file.header("content-length"), std::to_string(bytes.size()));
        EXPECT_EQ(file.header("x-content-type-options"), "nosniff");
        // The client is shown the same, and no bytes.
        EXPECT_TRUE(r.body.contains(url)) << r.body;
        EXPECT_LT(r.body.size(), 3'000u);
      }
    }
  }
  EXPECT_EQ(files(), 3 * 2 * static_cast<int>(std::size(rows)));
  EXPECT_EQ(files(true), files());
}

// What the most used station front end sends, and JSON as PHP writes it.
TEST_F(asset, as_clients_write_it) {
  start();
  const std::string first = jpeg(150'000);
  const std::string last = png(90'000);
  std::string escaped = data_uri(first, "image/jpeg");
  for (std::size_t at = 0; (at = escaped.find('/', at)) != escaped.npos; at += 2) escaped.insert(at, 1, '\\');
  const response r = me().post(
      web_app + "/", R"({"aspect_ratio":"16:9","loop":false,"expand_prompt":true,"image_url":")" + escaped +
                         R"(","user_prompt":"a cat","image_end_url":")" + data_uri(last) + R"("})");
  ASSERT_EQ(r.status, 201) << r.body.substr(0, 500);
  const json::object sent = asked();
  EXPECT_TRUE(fetch(view(sent.at("keyframes").at("frame0").at("url").as_string())).body == first);
  EXPECT_TRUE(fetch(view(sent.at("keyframes").at("frame1").at("url").as_string())).body == last);
  EXPECT_EQ(sent.at("loop"), false);
}

// The same picture twice is one file; a create that is sent again is the same job, with one file.
TEST_F(asset, what_comes_twice_is_kept_once) {
  start();
  const std::string uri = data_uri(png(200'000));
  const std::string body = R"({"prompt":"abc","keyframes":{"frame0":{"type":"image","url":")" + uri +
                           R"("},"frame1":{"type":"image","url":")" + uri + R"("}}})";
  const std::vector<std::string> key = {"Idempotency-Key: one"};
  const response first = me().request("POST", official, body, key);
  ASSERT_EQ(first.status, 201) << first.body.substr(0, 300);
  const response again = me().request("POST", official, body, key);
  EXPECT_EQ(again.status, 201) << again.body.substr(0, 300);
  EXPECT_EQ(again.header("idempotent-replayed"), "true");
  EXPECT_EQ(first.json().at("id"), again.json().at("id"));
  EXPECT_EQ(sim.created(), 1);
  EXPECT_TRUE(becomes([this] { return files() == 1; })) << files();
  // Another picture is another request.
  std::string other = body;
  other.replace(other.find("frame1") + 40, 4, "AAAA");
  EXPECT_EQ(me().request("POST", official, R"({"prompt":"abc"})", key).status, 422);
}

struct refused {
  const char* what;
  std::string path;
  std::string body;
  int status;
  std::string says;
};

// Nothing of these is submitted, and no file stays.
TEST_F(asset, what_is_refused) {
  settings.assets.max_file_bytes = 400'000;
  start();
  const std::string page = "<html><script>alert(1)</script></html>" + std::string(100'000, ' ');
  const std::string small_page = page.substr(0, 200);
  const auto frame = [](const std::string& url) {
    return R"({"prompt":"abc","keyframes":{"frame0":{"type":"image","url":")" + url + R"("}}})";
  };
  const refused rows[] = {
      {"a page", official, frame(data_uri(page)), 422, "PNG, JPEG, WebP"},
      {"a small page", official, frame(data_uri(small_page)), 422, "PNG, JPEG, WebP"},
      {"a page, by the web app", web_app, R"({"user_prompt":"abc","image_url":")" + data_uri(page) + "\"}",
       422, R"("loc":["body","image_url"])"},
      {"a video as picture", official, frame(data_uri(mp4(100'000))), 422, "should be a picture"},
      {"a picture as video", official + "/video/modify",
       R"({"mode":"flex_1","media":{"url":")" + data_uri(png(100'000)) + "\"}}", 422, "should be a video"},
      {"no base64", official, frame("data:image/png;base64,iVBORw0KGgo.iVBORw0KGgo"), 422, "base64"},
      {"no base64, long", official, frame(data_uri(png(100'000)) + "."), 400, "base64"},
      {"cut off", official, frame("data:image/png;base64,iVBORw0KGgoAA"), 422, "base64"},
      {"another coding", official, frame("data:image/png,%89PNG"), 422, "data:image/png;base64"},
      {"nothing in it", official, frame("data:image/png;base64,"), 422, "PNG"},
      {"too large", official, frame(data_uri(png(400'001))), 413, "400000"},
      {"in a field that nobody knows", official, R"({"prompt":"abc","x":")" + in_base64(png(100'000)) + "\"}",
       422, "where none is expected"},
      {"as a name", official, R"({"prompt":"abc",")" + in_base64(png(100'000)) + R"(":1})", 422,
       "where none is expected"},
      {"in the prompt", official, R"({"prompt":")" + in_base64(png(100'000)) + "\"}", 422,
       "where none is expected"},
      {"where no picture goes", official, R"({"prompt":"abc","image_url":")" + data_uri(png(100'000)) + "\"}",
       422, "image_url"},
      {"bad JSON after it", official, R"({"image_url":")" + data_uri(png(100'000)) + "\",}", 400, ""},
      {"wrong fields beside it", official,
       R"({"prompt":5,"keyframes":{"frame0":{"type":"image","url":")" + data_uri(png(100'000)) + "\"}}}", 422,
       "prompt"},
      {"a text that stands for another's file", official, frame("data:;sha256," + std::string(64, 'a')), 422,
       "base64"},
      {"too many", official + "/image",
       R"({"prompt":"abc","image_ref":[)" +
           [] {
             std::string refs;
             for (int i = 0; i < 17; ++i)
               refs += std::string(i > 0 ? "," : "") + R"({"url":")" +
                       data_uri(png(100, static_cast<std::uint32_t>(i))) + "\"}";
             return refs;
           }() +
           "]}",
       400, "more than 16 files"},
      {"much else", official, R"({"prompt":"abc","x":")" + std::string(1'100'000, '.') + "\"}", 413,
       "1048576"},
      {"a file that is not here", official, frame(public_url + "/assets/" + std::string(32, 'a') + ".png"),
       422, "no such file"},
  };
  for (const refused& row : rows) {
    const response r = me().post(row.path, row.body);
    EXPECT_EQ(r.status, row.status) << row.what << ": " << r.body.substr(0, 500);
    EXPECT_TRUE(r.body.contains(row.says)) << row.what << ": " << r.body.substr(0, 500);
    EXPECT_LT(r.body.size(), 3'000u) << row.what;
  }
  EXPECT_EQ(sim.created(), 0);
  EXPECT_TRUE(becomes([this] { return files() == 0; })) << files();
}

TEST_F(asset, without_an_address_of_its_own_the_relay_takes_none) {
  settings.server.public_url.clear();
  start();
  const std::string small = R"({"user_prompt":"abc","image_url":")" + data_uri(png()) + "\"}";
  const response r = me().post(web_app, small);
  EXPECT_EQ(r.status, 422);
  EXPECT_TRUE(r.body.contains("server.public_url")) << r.body;
  const response large =
      me().post(web_app, R"({"user_prompt":"abc","image_url":")" + data_uri(png(1'000'000)) + "\"}");
  EXPECT_EQ(large.status, 413);
  EXPECT_TRUE(large.body.contains("server.public_url")) << large.body;
  const response upload = me().post(web_app + "/file_upload", R"({"url":")" + data_uri(png()) + "\"}");
  EXPECT_EQ(upload.status, 400);
  EXPECT_TRUE(upload.body.contains("server.public_url")) << upload.body;
  EXPECT_EQ(me().post(web_app + "/file_upload", R"({"url":"https://e.x/a.png"})").status, 200);
  EXPECT_FALSE(fs::exists(folder()));
  EXPECT_EQ(sim.created(), 0);
}

// ---- uploads

TEST_F(asset, uploads) {
  start();
  const std::string path = web_app + "/file_upload";
  const std::string large = png(500'000);
  const std::string small = jpeg();
  const auto form = [](const std::string& bytes) {
    return "--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: "
           "image/png\r\n\r\n" +
           bytes + "\r\n--frontier--\r\n";
  };
  const std::vector<std::string> form_type = {"Content-Type: multipart/form-data; boundary=frontier"};
  const struct {
    const char* what;
    response got;
    const std::string& bytes;
    std::string type;
  } rows[] = {
      {"JSON", me().post(path, R"({"url":")" + data_uri(large) + "\"}"), large, "image/png"},
      {"small JSON", me().post(path, R"({"url":")" + in_base64(small) + "\"}"), small, "image/jpeg"},
      {"form", me().request("POST", path, form(large), form_type), large, "image/png"},
      {"small form", me().request("POST", path, form(small), form_type), small, "image/jpeg"},
      {"bytes", me().request("POST", path, large, {"Content-Type: image/png"}), large, "image/png"},
      {"few bytes", me().request("POST", path, small, {"Content-Type: application/octet-stream"}), small,
       "image/jpeg"},
      {"prefix", me().post("/v1" + path, R"({"url":")" + data_uri(large) + "\"}"), large, "image/png"},
  };
  for (const auto& row : rows) {
    ASSERT_EQ(row.got.status, 200) << row.what << row.got.body;
    const json::value told = row.got.json();
    const response file = fetch(view(told.at("public_url").as_string()));
    EXPECT_TRUE(file.body == row.bytes) << row.what;
    EXPECT_EQ(file.header("content-type"), row.type) << row.what;
    EXPECT_TRUE(told.at("id").is_string() && told.at("presigned_url").is_string()) << row.what;
  }
  EXPECT_EQ(files(), 7);

  // A URL is answered as it is.
  const response url = me().post(path, R"({"url":"https://e.x/a.png?b=c"})");
  EXPECT_EQ(url.status, 200);
  EXPECT_EQ(url.json().at("public_url"), "https://e.x/a.png?b=c");

  // A job that uses one: it is marked as used.
  const std::string used(view(rows[0].got.json().at("public_url").as_string()));
  const response job = me().post(web_app, R"({"user_prompt":"abc","image_url":")" + used + "\"}");
  ASSERT_EQ(job.status, 201) << job.body;
  EXPECT_EQ(asked().at("keyframes").at("frame0").at("url"), json::string(used));
  EXPECT_EQ(files(true), 1);

  const struct {
    const char* what;
    response got;
    int status;
    std::string says;
  } wrong[] = {
      {"a page", me().post(path, R"({"url":")" + data_uri("<html>" + std::string(90'000, ' ')) + "\"}"), 422,
       "PNG"},
      {"a page in a form", me().request("POST", path, form("<html>"), form_type), 422, "PNG"},
      {"no file", me().request("POST", path, "--frontier--\r\n", form_type), 400, "no file"},
      {"not JSON", me().post(path, "hello"), 400, ""},
      {"a small file in another field", me().post(path, R"({"file":")" + data_uri(png()) + "\"}"), 422,
       "url"},
      {"a URL and a file",
       me().post(path, R"({"url":"https://e.x/a.png","x":")" + in_base64(png(90'000)) + "\"}"), 422, "url"},
      {"no list", me().post(path, "[]"), 422, "url"},
      {"a file in another field", me().post(path, R"({"file":")" + data_uri(png(90'000)) + "\"}"), 422,
       "url"},
      {"a word", me().post(path, R"({"url":"cat"})"), 422, "PNG"},
      {"no token", nobody().post(path, R"({"url":"https://e.x/a.png"})"), 401, ""},
  };
  for (const auto& row : wrong) {
    EXPECT_EQ(row.got.status, row.status) << row.what << row.got.body;
    EXPECT_TRUE(row.got.body.contains(row.says)) << row.what << row.got.body;
  }
  EXPECT_TRUE(becomes([this] { return files() == 7; })) << files();
}

// ComfyUI's way, and the web app's: an address to put the file to comes first.
TEST_F(asset, puts) {
  start();
  const auto announce = [this] {
    const response r = nobody().request("POST", "/customers/storage", R"({"file_name":"0b7e.png"})",
                                        {"X-API-KEY: " + token});
    EXPECT_EQ(r.status, 200) << r.body;
    return r.json().as_object();
  };
  const auto target = [](const json::object& o, const char* name) {
    return std::string(text_of(o, name).substr(public_url.size()));
  };
  const json::object told = announce();
  const std::string put_to = target(told, "upload_url");
  EXPECT_EQ(fetch(text_of(told, "download_url")).status, 404) << "there is nothing yet";

  // No token, no type: the address is the permission.
  const std::string bytes = png(700'000);
  EXPECT_EQ(nobody().request("PUT", put_to, bytes).status, 200);
  EXPECT_TRUE(fetch(text_of(told, "download_url")).body == bytes);
  EXPECT_EQ(nobody().request("PUT", put_to, bytes).status, 409) << "once";
  EXPECT_EQ(nobody().request("PUT", put_to, png()).status, 409) << "also when it comes with its head";

  const json::object small = announce();
  EXPECT_EQ(nobody().request("PUT", target(small, "upload_url"), jpeg()).status, 200);
  const response as_it_is = fetch(text_of(small, "download_url"));
  EXPECT_EQ(as_it_is.header("content-type"), "image/jpeg") << "whatever its name says";

  // Somebody else's name, a word that is changed, and what is no picture.
  const std::string other = target(announce(), "upload_url");
  const std::string word = other.substr(other.rfind('/'));
  const std::string name = put_to.substr(0, put_to.rfind('/'));
  for (const std::string& path :
       {name + word, other + "0", other.substr(0, other.size() - 1), name + "/1-9999999999-",
        std::string("/uploads/x/y"), "/uploads/../relay.db" + word}) {
    EXPECT_EQ(nobody().request("PUT", path, png(100'000)).status, 404) << path;
    EXPECT_EQ(nobody().request("PUT", path, png()).status, 404) << path;
  }
  EXPECT_EQ(nobody().request("PUT", other, "<html>" + std::string(90'000, ' ')).status, 422);
  EXPECT_EQ(nobody().request("PUT", other, "").status, 400);
  EXPECT_EQ(nobody().request("PUT", other, png(25 * 1024 * 1024)).status, 413);
  EXPECT_EQ(nobody().request("PUT", other, png()).status, 200) << "what failed may be done again";

  // The web app's form of it, in the ways that its clients write it.
  const std::string upload = web_app + "/file_upload";
  const response web[] = {
      me().request("POST", upload + "?file_type=image&filename=file.jpg", ""),
      me().post(upload + "?file_type=image&filename=file.jpg", "{}"),
      me().post("/dream-machine/v1/generations/file_upload", R"({"file_type":"image"})"),
      me().request("POST", upload, "file_type=image&filename=file.jpg",
                   {"Content-Type: application/x-www-form-urlencoded"}),
  };
  for (const response& w : web) {
    ASSERT_EQ(w.status, 200) << w.body;
    EXPECT_EQ(w.json().at("upload_url"), w.json().at("presigned_url"));
    EXPECT_EQ(w.json().at("url"), w.json().at("public_url"));
    EXPECT_EQ(nobody().request("PUT", target(w.json().as_object(), "presigned_url"), jpeg()).status, 200);
    EXPECT_EQ(fetch(text_of(w.json().as_object(), "public_url")).status, 200);
  }

  // The permission is the token's: it ends with it.
  const std::string late = target(announce(), "upload_url");
  EXPECT_EQ(relay->admin("POST", "/tokens/*/me/revoke").status, 200);
  EXPECT_EQ(nobody().request("PUT", late, png()).status, 404);
  EXPECT_EQ(me().post("/customers/storage", "{}").status, 401);
}

// ---- what is served

TEST_F(asset, ranges) {
  start();
  const std::string bytes = png(200'000);
  const response up = me().post(web_app + "/file_upload", R"({"url":")" + data_uri(bytes) + "\"}");
  const std::string url(view(up.json().at("public_url").as_string()));
  const struct {
    std::string range;
    int status;
    std::size_t first, size;
  } rows[] = {
      {"bytes=0-0", 206, 0, 1},
      {"bytes=0-", 206, 0, 200'000},
      {"bytes=100-199", 206, 100, 100},
      {"Bytes=199999-", 206, 199'999, 1},
      {"bytes=150000-999999", 206, 150'000, 50'000},
      {"bytes=-5", 206, 199'995, 5},
      {"bytes=-999999", 206, 0, 200'000},
      {"bytes=200000-", 416, 0, 0},
      {"bytes=-0", 416, 0, 0},
      {"bytes=5-3", 200, 0, 200'000},  // no range: RFC 9110 §14.1.1
      {"bytes=1-2,5-6", 200, 0, 200'000},
      {"lines=1-2", 200, 0, 200'000},
      {"bytes=a-b", 200, 0, 200'000},
      {"bytes=99999999999999999999-", 200, 0, 200'000},
  };
  for (const auto& row : rows) {
    const response r = fetch(url, {"Range: " + row.range});
    EXPECT_EQ(r.status, row.status) << row.range;
    EXPECT_EQ(r.header("accept-ranges"), "bytes") << row.range;
    if (row.status == 416) {
      EXPECT_EQ(r.header("content-range"), "bytes */200000") << row.range;
      continue;
    }
    EXPECT_TRUE(r.body == bytes.substr(row.first, row.size)) << row.range;
    if (row.status == 206) {
      EXPECT_EQ(r.header("content-range"), "bytes " + std::to_string(row.first) + "-" +
                                               std::to_string(row.first + row.size - 1) + "/200000")
          << row.range;
    }
  }
  // HEAD says the same, and the connection goes on after both.
  connection c(relay->port());
  const std::string target = url.substr(public_url.size());
  c.send("HEAD " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
  const response head = c.receive(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-length"), "200000");
  c.send("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_TRUE(c.receive().body == bytes);
  c.send("GET " + target + " HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(c.receive().body == bytes);
}

TEST_F(asset, tricks_with_paths_find_nothing) {
  start();
  ASSERT_EQ(me().post(web_app + "/file_upload", R"({"url":")" + data_uri(png()) + "\"}").status, 200);
  std::string name;
  std::string owner;
  for (const auto& e : fs::recursive_directory_iterator(folder())) {
    if (!e.is_regular_file()) continue;
    name = e.path().filename();
    owner = e.path().parent_path().filename();
  }
  ASSERT_EQ(nobody().get("/assets/" + name).status, 200);
  for (const std::string& path :
       {"/assets", "/assets/", "/assets/../relay.db", "/assets/..%2frelay.db", "/assets/%2e%2e/relay.db",
        "/assets/%2e%2e%2frelay.db", "/assets/....//relay.db", "/assets//etc/passwd", "/assets/%00",
        "/assets/relay.db", "/assets/incoming", "/assets/."}) {
    const response r = nobody().get(path);
    EXPECT_TRUE(r.status == 404 || r.status == 400) << path << r.status;
  }
  for (const std::string& path :
       {"/assets/" + owner + "/" + name, "/assets/" + owner + "%2f" + name, "/assets/" + name + "/",
        "/assets/" + name + "/..", "/assets/" + name.substr(0, 32), "/assets/" + name + ".x",
        "/assets/." + name, "/Assets/" + name}) {
    const response r = nobody().get(path);
    EXPECT_TRUE(r.status == 404 || path.ends_with(name + "/")) << path << r.status;
  }
  // A folder cannot be listed, and the logs of the files' names are no way in.
  EXPECT_EQ(nobody().request("DELETE", "/assets/" + name, "").status, 405);
}

// ---- room and time

TEST_F(asset, room) {
  settings.assets.max_bytes_per_account = 1'000'000;
  settings.assets.max_bytes = 1'450'000;
  start();
  const client other(relay->port(), "Bearer " + relay->token("other"));
  const auto create = [](const client& c, std::size_t size) {
    return c.post(web_app, R"({"user_prompt":"abc","image_url":")" + data_uri(png(size)) + "\"}");
  };
  EXPECT_EQ(create(me(), 400'000).status, 201);
  const response full = create(me(), 600'001);
  EXPECT_EQ(full.status, 507);
  EXPECT_EQ(full.header("retry-after"), "60");
  EXPECT_TRUE(full.body.contains("this account")) << full.body;
  EXPECT_EQ(create(other, 500'000).status, 201);
  const client third(relay->port(), "Bearer " + relay->token("third"));
  const response all = create(third, 600'000);
  EXPECT_EQ(all.status, 507) << "the others' room";
  EXPECT_FALSE(all.body.contains("this account")) << all.body;
  EXPECT_EQ(sim.created(), 2) << "what is refused is not submitted";
  EXPECT_TRUE(becomes([this] { return files() == 2; })) << files();
  // A create that came before is answered as it was then, room or not.
  const std::vector<std::string> key = {"Idempotency-Key: one"};
  const std::string again = R"({"user_prompt":"abc","image_url":")" + data_uri(png(100'000)) + "\"}";
  const response first = me().request("POST", web_app, again, key);
  ASSERT_EQ(first.status, 201) << first.body;
  EXPECT_EQ(create(me(), 400'000).status, 201);
  EXPECT_EQ(create(me(), 100'000).status, 507);
  const response repeated = me().request("POST", web_app, again, key);
  EXPECT_EQ(repeated.status, 201) << repeated.body;
  EXPECT_EQ(repeated.json().at("id"), first.json().at("id"));
  const std::string larger = R"({"user_prompt":"abc","image_url":")" + data_uri(png(200'000)) + "\"}";
  EXPECT_EQ(me().request("POST", web_app, larger, {"Idempotency-Key: two"}).status, 507);
  EXPECT_EQ(me().request("POST", web_app, larger, key).status, 422) << "another request";
  EXPECT_EQ(sim.created(), 4);
  EXPECT_TRUE(becomes([this] { return files() == 4; })) << files();
}

TEST_F(asset, room_is_known_after_a_restart) {
  settings.assets.max_bytes_per_account = 1'000'000;
  start();
  const auto create = [](const client& c, std::size_t size) {
    return c.post(web_app, R"({"user_prompt":"abc","image_url":")" + data_uri(png(size)) + "\"}");
  };
  EXPECT_EQ(create(me(), 400'000).status, 201);
  // Jobs without files go on, and small files still find room.
  EXPECT_EQ(me().post(official, R"({"prompt":"abc"})").status, 201);
  EXPECT_EQ(create(me(), 300'000).status, 201);
  start();
  EXPECT_EQ(create(me(), 600'001).status, 507);
  EXPECT_EQ(create(me(), 90'000).status, 201);
}

TEST_F(asset, is_gone_after_its_jobs_and_a_while) {
  settings.assets.keep = milliseconds(300);
  start();
  const response up = me().post(web_app + "/file_upload", R"({"url":")" + data_uri(png()) + "\"}");
  const std::string url(view(up.json().at("public_url").as_string()));
  const response job = me().post(web_app, R"({"user_prompt":"abc","image_url":")" + url + "\"}");
  const std::string id(view(job.json().at("id").as_string()));
  ASSERT_EQ(job.status, 201);
  const response own =
      me().post(official, R"({"prompt":"abc","keyframes":{"frame0":{"type":"image","url":")" +
                              data_uri(png(100'000)) + "\"}}}");
  ASSERT_EQ(own.status, 201);
  EXPECT_EQ(files(), 2);
  wait_for_state(me(), web_app + "/" + id, "completed");
  EXPECT_TRUE(becomes([this] { return files() == 0 && files(true) == 0; })) << files() << " " << files(true);
  EXPECT_EQ(fetch(url).status, 404);
  EXPECT_EQ(me().post(web_app, R"({"user_prompt":"abc","image_url":")" + url + "\"}").status, 422);
}

TEST_F(asset, stays_while_a_job_needs_it) {
  settings.assets.keep = milliseconds(150);
  settings.poll.interval = milliseconds(600'000);  // the job does not end
  start();
  const response job =
      me().post(official, R"({"prompt":"abc","keyframes":{"frame0":{"type":"image","url":")" +
                              data_uri(png(100'000)) + "\"}}}");
  ASSERT_EQ(job.status, 201);
  const std::string url(view(job.json().at("request").at("keyframes").at("frame0").at("url").as_string()));
  // One that nobody needs was uploaded later, and goes first.
  const response up = me().post(web_app + "/file_upload", R"({"url":")" + data_uri(png()) + "\"}");
  const std::string unneeded(view(up.json().at("public_url").as_string()));
  EXPECT_TRUE(becomes([&] { return fetch(unneeded).status == 404; }));
  EXPECT_EQ(fetch(url).status, 200);
  // Also after a restart, by what stands in the folder.
  start();
  EXPECT_EQ(fetch(url).status, 200);
}

// ---- the wire

// Nothing of a body is read before it is known who sends it, and that there is room.
TEST_F(asset, nothing_is_read_before_the_token_is_known) {
  start();
  const auto head = [](const std::string& path, const std::string& key, const std::string& more) {
    return "POST " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key +
           "\r\nExpect: 100-continue\r\n" + more + "\r\n\r\n";
  };
  const struct {
    std::string bytes;
    int status;
  } rows[] = {
      {head(web_app, "wrong", "Content-Length: 9000000"), 401},
      {head(web_app + "/file_upload", "wrong", "Content-Length: 9000000"), 401},
      {head(web_app, token, "Content-Length: 33554433"), 413},
      {head("/luma/tasks", token, "Content-Length: 1048577"), 413},
      {head(web_app, token, "Content-Length: 33554432"), 100},
      {head(web_app, token, "Transfer-Encoding: chunked"), 100},
  };
  for (const auto& row : rows) {
    connection c(relay->port());
    c.send(row.bytes);
    const std::string line = c.receive_until("\r\n");
    EXPECT_EQ(line.substr(9, 3), std::to_string(row.status)) << row.bytes;
  }
}

// However many creates are being received, only those that have a file take the place of one.
TEST_F(asset, creates_without_files_take_no_place_of_theirs) {
  settings.server.max_connections_per_address = 1'000;
  start();
  const std::string head =
      "POST " + web_app + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n";
  std::vector<std::unique_ptr<connection>> open;
  for (std::size_t i = 0; i < most_open_assets + 20; ++i) {
    open.push_back(std::make_unique<connection>(relay->port()));
    open.back()->send(head + (i % 2 == 0 ? "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
                                         : "Content-Length: 90000\r\n\r\n{"));
  }
  const std::string body = R"({"user_prompt":"abc","image_url":")" + data_uri(png(100'000)) + "\"}";
  EXPECT_EQ(me().post(web_app, body).status, 201);
  // One client has half of the places; with all of them taken, one more is told to come again.
  open.clear();
  const std::string others =
      "POST " + web_app + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + relay->token("another") + "\r\n";
  for (std::size_t i = 0; i < most_open_of_one; ++i) {
    open.push_back(std::make_unique<connection>(relay->port()));
    open.back()->send(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                      body.substr(0, 80'000));
  }
  ASSERT_TRUE(becomes([this] { return files() == static_cast<int>(most_open_of_one) + 1; })) << files();
  EXPECT_EQ(me().post(web_app, body).status, 503);
  for (std::size_t i = 0; i < most_open_of_one; ++i) {
    open.push_back(std::make_unique<connection>(relay->port()));
    open.back()->send(others + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                      body.substr(0, 80'000));
  }
  ASSERT_TRUE(becomes([this] { return files() == static_cast<int>(most_open_assets) + 1; })) << files();
  const response full = me().post(web_app, body);
  EXPECT_EQ(full.status, 503);
  EXPECT_EQ(full.header("retry-after"), "2");
  EXPECT_EQ(me().post(web_app, R"({"user_prompt":"abc"})").status, 201);
  open.clear();
  EXPECT_TRUE(becomes([this] { return files() == 1; })) << files();
  EXPECT_EQ(me().post(web_app, body).status, 201);
}

TEST_F(asset, a_body_in_chunks_and_one_that_is_cut) {
  start();
  const std::string bytes = png(200'000);
  const std::string body = R"({"user_prompt":"abc","image_url":")" + data_uri(bytes) + "\"}";
  const std::string head =
      "POST " + web_app + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n";
  {
    connection c(relay->port());
    c.send(head + "Transfer-Encoding: chunked\r\n\r\n");
    for (std::size_t at = 0; at < body.size(); at += 7'777) {
      char size[16];
      const std::string part = body.substr(at, 7'777);
      std::snprintf(size, sizeof size, "%zx\r\n", part.size());
      c.send(size + part + "\r\n");
    }
    // The next request is on its way already.
    c.send("0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    const response r = c.receive();
    ASSERT_EQ(r.status, 201) << r.body;
    EXPECT_EQ(c.receive().status, 200);
    EXPECT_TRUE(fetch(view(asked().at("keyframes").at("frame0").at("url").as_string())).body == bytes);
  }
  {
    connection c(relay->port());
    c.send(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body.substr(0, 150'000));
    EXPECT_TRUE(becomes([this] { return files() == 2; })) << "half of it is there";
  }
  EXPECT_TRUE(becomes([this] { return files() == 1; })) << "and goes with its connection";
  EXPECT_EQ(sim.created(), 1);
  const response metrics = client(relay->admin_port()).get("/metrics");
  EXPECT_TRUE(becomes([this] {
    return client(relay->admin_port()).get("/metrics").body.contains("luma_relay_asset_files 1\n");
  }));
}

}  // namespace
}  // namespace relay::test
