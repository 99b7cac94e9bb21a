// Bad input of every kind, as a table: the status, what the body says, and what it must not say. No 500
// anywhere, and nothing of it reaches the upstream.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

struct scenario {
  const char* what;
  std::string method;
  std::string path;
  std::string body;
  int status;
  std::string says;  // a part of the body
  bool with_key = true;
};

const std::string generations = "/dream-machine/v1/generations";
const std::string absent = "01936e4f-a1b2-7fff-bfff-ffffffffffff";

const scenario table[] = {
    {"not JSON", "POST", generations, "prompt=abc", 400, "not valid JSON at byte 0"},
    {"empty body", "POST", generations, "", 400, "not valid JSON"},
    {"cut JSON", "POST", generations, R"({"prompt":"abc")", 400, "ends too early"},
    {"array", "POST", generations, "[]", 422, "JSON object"},
    {"number", "POST", generations, "1", 422, "JSON object"},
    {"key twice", "POST", generations, R"({"prompt":"abc","prompt":"abd"})", 400, "appears twice"},
    {"infinite number", "POST", generations, R"({"prompt":"abc","x":1e999})", 400, "out of range"},
    {"NUL", "POST", generations, R"({"prompt":"a\u0000bc"})", 400, "U+0000"},
    {"invalid UTF-8", "POST", generations, "{\"prompt\":\"\xff\xfe abc\"}", 400, "not valid JSON"},
    {"deep", "POST", generations, std::string(100, '[') + std::string(100, ']'), 400, "32 levels"},
    {"wrong type", "POST", generations, R"({"prompt":["abc"]})", 422,
     "prompt: Input should be a valid string"},
    {"missing", "POST", generations, "{}", 400, "Prompt is required"},
    {"short", "POST", generations, R"({"prompt":"a"})", 400, "minimum length is 3"},
    {"long", "POST", generations, R"({"prompt":")" + std::string(5001, 'a') + R"("})", 400,
     "maximum length is 5000"},
    {"aspect ratio", "POST", generations, R"({"prompt":"abc","aspect_ratio":"5:4"})", 422,
     "aspect_ratio: Input should be '1:1'"},
    {"unknown generation", "POST", generations,
     R"({"prompt":"abc","keyframes":{"frame0":{"type":"generation","id":")" + absent + R"("}}})", 400,
     "there is no generation"},
    {"over-long body", "POST", generations, R"({"prompt":")" + std::string(2'000'000, 'a') + R"("})", 413,
     "body: longer than the 1048576 bytes"},
    {"image, no prompt", "POST", generations + "/image", R"({"model":"photon-1"})", 400,
     "Prompt is required"},
    {"luma, no prompt", "POST", "/luma/generations", R"({"user_prompt":""})", 400,
     "user_prompt: Prompt is required"},
    {"luma, base64", "POST", "/luma/generations",
     R"({"user_prompt":"abc","image_url":"data:image/png;base64,AA"})", 422, "base64"},
    {"extend an unknown one", "POST", "/luma/generations/" + absent + "/extend", R"({"user_prompt":"abc"})",
     404, "Generation not found"},
    {"unknown id", "GET", generations + "/" + absent, "", 404, "Generation not found"},
    {"id that is none", "GET", generations + "/x'%20OR%201=1--", "", 404, "Generation not found"},
    {"long id", "GET", generations + "/" + std::string(4000, 'a'), "", 404, "Generation not found"},
    {"luma, unknown id", "GET", "/luma/generations/" + absent, "", 404, "Generation not found"},
    {"download, unknown id", "GET", "/luma/generations/" + absent + "/download_video_url", "", 404,
     "Generation not found"},
    {"limit", "GET", generations + "?limit=0", "", 422, "limit: Input should be a whole number from 1 to"},
    {"limit over", "GET", generations + "?limit=101", "", 200, R"("limit":100)"},
    {"limit no number", "GET", generations + "?limit=ten", "", 422, "limit"},
    {"offset", "GET", generations + "?offset=-1", "", 422, "offset"},
    {"batch, not JSON", "POST", "/luma/tasks", "x", 400, R"("data":null)"},
    {"batch, no ids", "POST", "/luma/tasks", "{}", 422, "ids: Field required"},
    {"batch, ids no list", "POST", "/luma/tasks", R"({"ids":"a"})", 422, "ids: Input should be a list"},
    {"batch, numbers", "POST", "/luma/tasks", R"({"ids":[1,2]})", 422,
     "ids.0: Input should be a valid string; ids.1"},
    {"batch, too many", "POST", "/luma/tasks", R"({"ids":["a","b","c","d"]})", 400, "at most 3 ids, not 4"},
    {"batch, none known", "POST", "/luma/tasks", R"({"ids":["a"]})", 200, R"("data":[])"},
    {"batch, empty", "POST", "/luma/tasks", R"({"ids":[]})", 200, R"("data":[])"},
    {"batch, wrong method", "GET", "/luma/tasks", "", 405, R"("data":null)"},
    {"wrong method", "PUT", generations, "{}", 405, "allowed: POST, GET, HEAD, OPTIONS"},
    {"wrong method on one", "POST", generations + "/" + absent, "{}", 405,
     "allowed: GET, HEAD, DELETE, OPTIONS"},
    {"wrong path", "GET", "/v1/chat/completions", "", 404, "There is no /v1/chat/completions here"},
    {"root", "GET", "/", "", 404, "There is no / here"},
    {"dots", "GET", "/dream-machine/v1/../../etc/passwd", "", 404, "is not served by this relay"},
    {"bad encoding", "GET", "/dream-machine/%zz", "", 400, "percent-encoding"},
    {"encoded NUL", "GET", "/dream-machine/%00", "", 400, "percent-encoding"},
    {"method of our own", "BREW", generations, "", 405, "not allowed"},
    {"no key", "GET", generations, "", 401, "no API key was given", false},
    {"no key, create", "POST", generations, R"({"prompt":"abc"})", 401, "no API key was given", false},
    {"no key, batch", "POST", "/luma/tasks", R"({"ids":[]})", 401, R"("data":null)", false},
    {"no key, wrong path", "GET", "/nothing", "", 404, "There is no", false},
};

TEST(scenario, bad_input) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.max_batch_ids = 3;
  running_relay relay(settings);
  const client known = relay.as("me");
  const client nobody = relay.as_nobody();
  for (const scenario& s : table) {
    const response r = (s.with_key ? known : nobody).request(s.method, s.path, s.body);
    EXPECT_EQ(r.status, s.status) << s.what << ": " << r.body;
    EXPECT_NE(r.body.find(s.says), std::string::npos) << s.what << ": " << r.body;
    EXPECT_EQ(r.header("content-type"), "application/json") << s.what;
    EXPECT_FALSE(r.header("x-request-id").empty()) << s.what;
    EXPECT_EQ(r.body.find("luma-sim-key"), std::string::npos) << s.what;
    if (s.status == 405) {
      EXPECT_FALSE(r.header("allow").empty()) << s.what;
    }
    if (s.status == 401) {
      EXPECT_EQ(r.header("www-authenticate"), "Bearer") << s.what;
    }
    if (s.status >= 400) {
      const json::object body = r.json().as_object();
      EXPECT_TRUE(body.at("error").as_object().at("message").is_string()) << s.what;
      const bool envelope = s.path.starts_with("/luma/tasks");
      EXPECT_EQ(body.contains("detail"), !envelope) << s.what;
      EXPECT_EQ(body.contains("data"), envelope) << s.what;
    }
  }
  EXPECT_EQ(sim.log().at("creates").as_array().size(), 0u) << "nothing of this may reach the upstream";
  EXPECT_EQ(known.get(generations).json().as_object().at("count"), 0);
}

TEST(scenario, keys) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const std::string token = relay.token("me");
  struct {
    const char* what;
    std::string header;
    int status;
  } const rows[] = {
      {"bearer", "Bearer " + token, 200},
      {"lower case", "bearer " + token, 200},
      {"bare", token, 200},
      {"spaces", "  Bearer   " + token + " ", 200},
      {"cut", "Bearer " + token.substr(0, token.size() - 1), 401},
      {"longer", "Bearer " + token + "x", 401},
      {"basic", "Basic " + token, 401},
      {"empty bearer", "Bearer ", 401},
      {"the upstream's key", "Bearer luma-sim-key", 401},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(client(relay.port(), row.header).get("/dream-machine/v1/ping").status, row.status) << row.what;
  }
  EXPECT_EQ(client(relay.port()).get("/dream-machine/v1/ping?api_key=" + token).status, 401)
      << "never in the query";
}

TEST(scenario, head_options_and_cors) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  running_relay relay(settings);
  const client c = relay.as("me");
  const response head = c.request("HEAD", "/dream-machine/v1/ping", "");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("content-length"), "18");
  EXPECT_TRUE(head.body.empty());

  const response preflight =
      relay.as_nobody().request("OPTIONS", generations, "",
                                {"Origin: https://app.example", "Access-Control-Request-Method: POST",
                                 "Access-Control-Request-Headers: authorization, x-foo"});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("access-control-allow-origin"), "*");
  EXPECT_EQ(preflight.header("access-control-allow-headers"), "authorization, x-foo");
  EXPECT_EQ(preflight.header("allow"), "POST, GET, HEAD, OPTIONS");
  EXPECT_EQ(c.request("GET", "/dream-machine/v1/ping", "", {"Origin: https://app.example"})
                .header("access-control-allow-origin"),
            "*");
  EXPECT_EQ(relay.as_nobody()
                .request("GET", generations, "", {"Origin: https://app.example"})
                .header("access-control-allow-origin"),
            "*")
      << "a browser must be able to read errors too";
}

// Every JSON that leaves is UTF-8, whatever came in.
TEST(scenario, errors_are_utf_8) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  for (const std::string& target :
       {std::string("/%ff"), generations + "?limit=%ff", generations + "/%c3%28"}) {
    const response r = c.get(target);
    EXPECT_GE(r.status, 400) << target;
    EXPECT_TRUE(parse_strict(r.body)) << target << ": " << r.body;
  }
}

TEST(scenario, a_callback_url_is_an_address_or_a_word) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const auto create = [&](const std::string& url) {
    return c.post(generations, R"({"prompt":"a cat","callback_url":")" + url + R"("})");
  };
  for (const char* refused : {"ftp://example.com/x", "javascript:alert(1)", "https://", "http:///path",
                              "https://user:secret@example.com/", "http:example.com", "file:///etc/passwd"}) {
    const response r = create(refused);
    EXPECT_EQ(r.status, 422) << refused << r.body;
    EXPECT_NE(r.body.find("callback_url"), std::string::npos) << r.body;
  }
  const response word = create("xxx");
  EXPECT_EQ(word.status, 201);
  EXPECT_TRUE(word.header("warning").starts_with("299 - ")) << word.header("warning");
  const response address = create("https://example.com/hook");
  EXPECT_EQ(address.status, 201);
  EXPECT_EQ(address.header("warning"), "");
}

// A page in an operator's browser reads no metrics: neither by CORS nor under a name of its own.
TEST(scenario, metrics_are_for_operators) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.admin.host_names = {"Relay.internal"};
  running_relay relay(settings);
  const auto get = [&](const std::string& host) {
    connection raw(relay.admin_port());
    raw.send("GET /metrics HTTP/1.1\r\nHost: " + host + "\r\nOrigin: https://evil.example\r\n\r\n");
    return raw.receive();
  };
  for (const char* own : {"127.0.0.1:9090", "[::1]:9090", "localhost", "relay:9090", "relay.internal:9090"}) {
    const response r = get(own);
    EXPECT_EQ(r.status, 200) << own;
    EXPECT_EQ(r.header("access-control-allow-origin"), "") << own;
  }
  const response foreign = get("rebound.evil.example:9090");
  EXPECT_EQ(foreign.status, 421);
  EXPECT_EQ(foreign.body.find("luma_relay_"), std::string::npos);
}

TEST(scenario, the_database_may_have_a_long_path) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  const std::string folder = dir.file(std::string(120, 'x'));
  ASSERT_EQ(::mkdir(folder.c_str(), 0700), 0);
  settings.storage.path = folder + "/relay.db";
  running_relay relay(settings);
  EXPECT_EQ(relay.as("me").get("/dream-machine/v1/ping").status, 200)
      << "its token came through the admin socket";
}

// Rule F11: what would be written into a file that nobody finds again is refused, and traffic goes elsewhere.
TEST(scenario, a_database_that_is_moved_away_makes_it_unready) {
  if (is_memory_store()) return;
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  EXPECT_EQ(relay.as_nobody().get("/readyz").status, 200);
  const response before = c.post("/dream-machine/v1/generations", R"({"prompt":"abc"})");
  ASSERT_EQ(before.status, 201);
  const std::int64_t created = sim.created();
  ASSERT_EQ(::rename(dir.file("relay.db").c_str(), dir.file("elsewhere.db").c_str()), 0);
  const response after = c.post("/dream-machine/v1/generations", R"({"prompt":"abc"})");
  EXPECT_EQ(after.status, 503);
  EXPECT_EQ(after.body.find("relay.db"), std::string::npos) << after.body;
  const response ready = relay.as_nobody().get("/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(ready.json().as_object().at("takes_jobs"), false);
  EXPECT_EQ(
      c.get("/dream-machine/v1/generations/" + std::string(text_of(before.json().as_object(), "id"))).status,
      200)
      << "what is known is still told";
  EXPECT_EQ(sim.created(), created) << "nothing was submitted that is not recorded";
}

TEST(scenario, cors_can_be_narrowed) {
  temp_dir dir;
  running_simulator sim;
  config settings = test_config(dir, sim.url());
  settings.server.cors_origins = {"https://mine.example"};
  running_relay relay(settings);
  const client c = relay.as("me");
  const response mine = c.request("GET", "/dream-machine/v1/ping", "", {"Origin: https://mine.example"});
  EXPECT_EQ(mine.header("access-control-allow-origin"), "https://mine.example");
  EXPECT_EQ(mine.header("vary"), "Origin");
  EXPECT_EQ(c.request("GET", "/dream-machine/v1/ping", "", {"Origin: https://other.example"})
                .header("access-control-allow-origin"),
            "");
}

// A page must be able to read every error, however early the request was refused.
TEST(scenario, early_errors_are_readable_by_pages) {
  const std::string origin = "Origin: https://app.example\r\n";
  const struct {
    const char* what;
    std::string bytes;
    int status;
    bool origin_is_read;
  } rows[] = {
      {"long head", "GET / HTTP/1.1\r\nHost: x\r\n" + origin + "X: " + std::string(20'000, 'a') + "\r\n\r\n",
       431, false},
      {"long target", "GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\n" + origin + "\r\n", 414, false},
      {"bad head", "GET / HTTP/1.1\r\n" + origin + "no colon\r\n\r\n", 400, false},
      {"slow head", "GET / HTTP/1.1\r\n" + origin, 408, false},
      {"long body",
       "POST " + generations + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\n" + origin +
           "Content-Length: 99999999\r\n\r\n",
       413, true},
      {"long body, no key",
       "POST " + generations + " HTTP/1.1\r\nHost: x\r\n" + origin + "Content-Length: 99999999\r\n\r\n", 401,
       true},
      {"bad path", "GET /%zz HTTP/1.1\r\nHost: x\r\n" + origin + "\r\n", 400, true},
      {"no route", "GET /nothing HTTP/1.1\r\nHost: x\r\n" + origin + "\r\n", 404, true},
      {"no key", "GET " + generations + " HTTP/1.1\r\nHost: x\r\n" + origin + "\r\n", 401, true},
      {"slow body",
       "POST " + generations + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\n" + origin +
           "Content-Length: 9\r\n\r\n{",
       408, true},
      {"long chunks",
       "POST " + generations + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\n" + origin +
           "Transfer-Encoding: chunked\r\n\r\nffffff\r\n",
       413, true},
  };
  temp_dir dir;
  running_simulator sim;
  for (const std::string allowed : {"*", "https://app.example", "https://other.example"}) {
    temp_dir own;
    config settings = test_config(own, sim.url());
    settings.server.cors_origins = {allowed};
    settings.server.header_timeout = settings.server.body_timeout = milliseconds(200);
    running_relay relay(settings);
    const std::string key = relay.token("me");
    for (const auto& row : rows) {
      std::string bytes = row.bytes;
      if (const auto at = bytes.find("KEY"); at != std::string::npos) bytes.replace(at, 3, key);
      connection c(relay.port());
      c.send(bytes);
      const response r = c.receive();
      EXPECT_EQ(r.status, row.status) << row.what << r.body;
      std::string want = allowed;
      if (allowed == "https://other.example" || (!row.origin_is_read && allowed != "*")) want.clear();
      EXPECT_EQ(r.header("access-control-allow-origin"), want) << row.what;
      EXPECT_EQ(r.header("access-control-expose-headers").contains("Retry-After"), !want.empty()) << row.what;
    }
  }
}

TEST(scenario, the_preflight_of_a_path_that_is_not_there) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as_nobody();
  const response preflight = c.request("OPTIONS", "/nothing", "",
                                       {"Origin: https://app.example", "Access-Control-Request-Method: GET"});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.header("access-control-allow-origin"), "*");
  EXPECT_EQ(c.request("OPTIONS", "/nothing", "").status, 404) << "no preflight";
}

TEST(scenario, bodies_that_are_no_json) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  const std::string good = R"({"prompt":"a tiger"})";
  const struct {
    const char *what, *header;
    std::string body;
    int status;
    const char* says;
  } rows[] = {
      {"text/plain", "Content-Type: text/plain", good, 201, ""},
      {"no type", "X: y", good, 201, ""},
      {"byte order mark", "Content-Type: application/json", "\xef\xbb\xbf" + good, 201, ""},
      {"as it is", "Content-Encoding: identity", good, 201, ""},
      {"a wrong word of some clients", "Content-Encoding: utf-8", good, 201, ""},
      {"compressed", "Content-Encoding: gzip", "\x1f\x8b\x08", 415, "Content-Encoding: gzip"},
      {"a form", "Content-Type: multipart/form-data; boundary=x", "--x--", 415,
       "Content-Type: multipart/form-data; boundary=x is not understood"},
      {"bad json", "Content-Type: application/json; charset=utf-8", "{", 400, "not valid JSON"},
      {"bad json of a kind", "Content-Type: application/problem+json", "{", 400, "not valid JSON"},
  };
  std::int64_t taken = 0;
  for (const auto& row : rows) {
    const response r = c.request("POST", generations, row.body, {row.header});
    EXPECT_EQ(r.status, row.status) << row.what << ": " << r.body;
    EXPECT_TRUE(r.body.contains(row.says)) << row.what << ": " << r.body;
    taken += r.status == 201 ? 1 : 0;
  }
  EXPECT_EQ(sim.created(), taken);
  EXPECT_EQ(c.request("POST", "/luma/tasks", "\xef\xbb\xbf{\"ids\":[]}", {}).status, 200);
  EXPECT_EQ(
      c.request("POST", "/luma/tasks", "ids=1", {"Content-Type: application/x-www-form-urlencoded"}).status,
      415);
}

TEST(scenario, prefixes_that_clients_have_built_in) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as("me");
  for (const char* path :
       {"/luma/generations", "/v1/luma/generations", "/luma/v1/generations", "/pro/luma/generations/",
        "/luma/pro/generations/", "/vip/luma/generations", "/luma/dream-machine/v1/generations"}) {
    EXPECT_EQ(c.post(path, R"({"prompt":"abc"})").status, 201) << path;
  }
  for (const char* path :
       {"/pro/generations", "/lumax/generations", "/v1/lumax/generations", "/luma/luma/generations"}) {
    EXPECT_EQ(c.post(path, R"({"prompt":"abc"})").status, 404) << path;
  }
}

TEST(scenario, request_ids) {
  temp_dir dir;
  running_simulator sim;
  running_relay relay(test_config(dir, sim.url()));
  const client c = relay.as_nobody();
  EXPECT_EQ(c.request("GET", "/healthz", "", {"X-Request-Id: abc-1.2_3"}).header("x-request-id"),
            "abc-1.2_3");
  const std::string made =
      c.request("GET", "/healthz", "", {"X-Request-Id: <script>"}).header("x-request-id");
  EXPECT_EQ(made.find('<'), std::string::npos);
  EXPECT_NE(made, c.get("/healthz").header("x-request-id"));
}

}  // namespace
}  // namespace relay::test
