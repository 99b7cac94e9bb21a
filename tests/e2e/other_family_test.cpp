// A second family of jobs that exists only here: another path, another shape of replies, a list of results
// instead of one, other words. The engine, the store, the loops and the callbacks take it as it is.

#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "common/engine/marker.hpp"
#include "common/luma/family.hpp"
#include "server/handlers/handlers.hpp"
#include "tests/support/receiver.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

// ---- the family: poems. POST /poems {"theme"} makes several; {"ticket","phase":"writing","verses":[…]}.

namespace poems {

extern const dialect spoken;

constexpr action write_poems{"poems", "write", std::chrono::minutes(5)};

std::string_view word(task_state s) {
  return s == task_state::completed ? "written"
         : s == task_state::failed  ? "torn"
         : s == task_state::running ? "writing"
                                    : "waiting";
}

json::object reply_of(const task& t) {
  auto v = parse_lenient(t.reply);
  return v && v->is_object() ? v->get_object() : json::object{};
}

result<std::string> render(const task& t, const showing&) {
  json::object out{{"poem", json::string(t.id)}, {"phase", json::string(word(t.state))}};
  out["verses"] = t.state == task_state::completed ? reply_of(t)["verses"] : json::value(json::array{});
  if (t.state == task_state::failed) out["why"] = json::string(t.fail_reason);
  return json::serialize(out);
}

const task_form shown = {"poem", word, render, [](const task&) { return false; }};

result<new_task> parse_create(const json::value& body, const action&, std::string_view) {
  new_task out;
  if (!body.is_object() || text_of(body.get_object(), "theme").empty())
    return fail(errc::invalid_request, "theme: must be there");
  out.request = body.get_object();
  out.callback_url = text_of(out.request, "tell");
  return out;
}

json::object render_error(const error& e) {
  return {{"torn_because", json::string(e.message.text)}};
}

const dialect spoken = {.name = "poems",
                        .parse_create = parse_create,
                        .created = &shown,
                        .shown = &shown,
                        .frame_page = nullptr,
                        .parse_ids = nullptr,
                        .frame_batch = nullptr,
                        .in_array = nullptr,
                        .render_error = render_error};

result<job> parse_job(std::string_view body) {
  const auto v = parse_lenient(body);
  if (!v || !v->is_object() || text_of(v->get_object(), "ticket").empty())
    return fail(errc::upstream_unavailable, "no poem");
  const json::object& o = v->get_object();
  const auto phase = text_of(o, "phase");
  job j;
  j.id = text_of(o, "ticket");
  j.state = phase == "writing"   ? job_state::running
            : phase == "written" ? job_state::completed
            : phase == "torn"    ? job_state::failed
                                 : job_state::queued;
  j.failure_reason = text_of(o, "why");
  const json::value* verses = member(o, "verses");
  j.has_result = verses != nullptr && verses->is_array() && !verses->get_array().empty();
  return j;
}

result<listed_job> parse_listed(std::string_view text) {
  auto reported = parse_job(text);
  if (!reported) return std::unexpected(std::move(reported.error()));
  return listed_job{std::move(*reported), std::string(text), {}, {}, {}};
}

const protocol upstream = {.name = "poets",
                           .base_path = "/desk",
                           .authorization = "Poet ",
                           .marker_field = "tell",
                           .obstacle = [](const task& t, const outgoing_settings&) -> std::string {
                             return t.action == &write_poems ? "" : "poets write poems only";
                           },
                           .model_of = [](const task&, const outgoing_settings&) { return std::string(); },
                           .build_create = [](const task& t, const outgoing_settings& with,
                                              const id_translation&) -> result<outgoing> {
                             json::object request = parse_lenient(t.request)->get_object();
                             request.erase("tell");
                             if (const std::string marker = marker_url(with.public_url, t); !marker.empty())
                               request["tell"] = json::string(marker);
                             return outgoing{"/poems", json::serialize(request)};
                           },
                           .build_fetch = [](const std::string& id) { return "/poems/" + id + "/now"; },
                           .build_remove = nullptr,
                           .build_list = nullptr,
                           .lists_words = false,
                           .credits_path = "",
                           .parse_credits = nullptr,
                           .parse_job = parse_job,
                           .list_member = "",
                           .parse_listed = parse_listed,
                           .has_more = nullptr,
                           .same_request = nullptr,
                           .says_not_found = [](std::string_view) { return true; },
                           .other_request = [](const json::object&, const listed_job&) { return false; },
                           .error_text = [](int, std::string_view body) { return std::string(body); },
                           .check_path = "/"};

constexpr const action* actions[] = {&write_poems};
constexpr const dialect* dialects[] = {&spoken};
constexpr const protocol* protocols[] = {&upstream};
const relay::family family = {"poems", actions, dialects, protocols};

constexpr route rows[] = {
    {http::verb::post, "/poems", "write", access::token, &spoken, handlers::create_generation, &write_poems},
    {http::verb::get, "/poems/{id}", "read", access::token, &spoken, handlers::get_generation},
    {http::verb::get, "/poems/{id}/events", "follow", access::token, &spoken, handlers::generation_events},
};
const route_table routes{rows, [](std::string_view path, std::string&) { return path; },
                         [](std::string_view) -> const dialect& { return spoken; }, "poems are under /poems"};

}  // namespace poems

// ---- an upstream of that family

class poets {
 public:
  poets() {
    http::application app;
    app.handle = [this](http::request& r) { return handle(r); };
    app.refuse = [](const error& e, const http::unrouted&) { return http::json_reply(e.http_status(), {}); };
    const listen_address anywhere{"127.0.0.1", 0};
    listener_ = std::make_unique<http::listener>(loop_, http::bind(loop_, anywhere), std::move(app),
                                                 http::session_limits{}, http::listener_limits{}, shared_);
    asio::co_spawn(loop_.get_executor(), deadlines_.run(), asio::detached);
    asio::co_spawn(loop_.get_executor(), listener_->run(), asio::detached);
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~poets() {
    asio::post(loop_, [this] {
      listener_->abort();
      deadlines_.stop();
      loop_.stop();
    });
    thread_.join();
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(listener_->port()); }
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  awaitable<http::reply> handle(http::request& r) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::string(r.method_name) + " " + std::string(r.path) + " " +
                        std::string(r.header("Authorization")) + " " + std::string(r.body));
    if (r.path == "/desk/poems") {
      const std::string ticket = "poem-" + std::to_string(++made_);
      const json::object body = parse_lenient(r.body)->get_object();
      if (text_of(body, "theme") == "nothing") co_return http::json_reply(400, {{"no", "theme"}});
      if (text_of(body, "theme") == "oblivion") co_return http::json_reply(200, {});
      torn_[ticket] = text_of(body, "theme") == "despair";
      co_return http::json_reply(200, {{"ticket", json::string(ticket)}, {"phase", "waiting"}});
    }
    const std::string ticket(r.path.substr(12, r.path.size() - 16));
    const int looks = ++looks_[ticket];
    json::object out{{"ticket", json::string(ticket)},
                     {"phase", looks < 2       ? "writing"
                               : torn_[ticket] ? "torn"
                                               : "written"}};
    if (looks >= 2 && !torn_[ticket]) out["verses"] = json::array{"one", "two", "three"};
    if (looks >= 2 && torn_[ticket]) out["why"] = "the poet despaired";
    co_return http::json_reply(200, out);
  }

  asio::io_context loop_{1};
  deadlines deadlines_{loop_};
  http::session_shared shared_{deadlines_};
  std::unique_ptr<http::listener> listener_;
  std::mutex mutex_;  // guards what follows
  std::vector<std::string> requests_;
  std::map<std::string, int> looks_;
  std::map<std::string, bool> torn_;
  int made_ = 0;
  std::thread thread_;
};

std::string phase_of(const response& r) {
  return std::string(text_of(r.json().as_object(), "phase"));
}

response wait_for_phase(const client& c, const std::string& id, const std::string& phase) {
  response r;
  for (int i = 0; i < 50 && phase_of(r = c.request("GET", "/poems/" + id, {}, {"Prefer: wait=5"})) != phase;
       ++i) {
  }
  return r;
}

TEST(other_family, goes_through_the_engine_as_it_is) {
  temp_dir dir;
  poets upstream;
  receiver hook;
  config settings = test_config(dir, upstream.url());
  settings.upstreams[0].protocol = "poets";
  const catalogue both{&luma::family, &poems::family};
  std::string id;
  {
    running_relay relay(settings, both, poems::routes);
    const client c = relay.as("me");
    const response made = c.post("/poems", R"({"theme":"snow","tell":")" + hook.url() + R"("})");
    ASSERT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(phase_of(made), "waiting");
    id = text_of(made.json().as_object(), "poem");
    const response done = wait_for_phase(c, id, "written");
    EXPECT_EQ(done.json().at("verses"), parse_lenient(R"(["one","two","three"])").value())
        << "a list of results";

    const auto told = hook.wait_for(2);
    EXPECT_EQ(text_of(told[0].json(), "phase"), "writing");
    EXPECT_EQ(text_of(told[1].json(), "phase"), "written");
    EXPECT_EQ(told[1].json().at("verses").as_array().size(), 3u);

    const std::string torn(text_of(c.post("/poems", R"({"theme":"despair"})").json().as_object(), "poem"));
    EXPECT_EQ(wait_for_phase(c, torn, "torn").json().at("why"), "the poet despaired");
    const response refused = c.post("/poems", R"({"theme":"nothing"})");
    EXPECT_EQ(refused.status, 400);
    EXPECT_EQ(refused.json().at("torn_because"), R"({"no":"theme"})");
    EXPECT_EQ(c.post("/poems", "{}").json().at("torn_because"), "theme: must be there");
    EXPECT_EQ(c.get("/elsewhere").json().at("torn_because"),
              "There is no /elsewhere here; poems are under /poems");
  }
  // It is on disk under its own names, and another start knows it still.
  running_relay again(settings, both, poems::routes);
  const json::value shown = again.admin("GET", "/jobs/" + id).json();
  EXPECT_EQ(shown.at("action"), "write");
  EXPECT_EQ(shown.at("dialect"), "poems");
  EXPECT_EQ(shown.at("state"), "completed");
  const std::vector<std::string> requests = upstream.requests();
  EXPECT_EQ(requests.at(0), R"(POST /desk/poems Poet luma-sim-key {"theme":"snow"})");
  EXPECT_EQ(requests.at(1), "GET /desk/poems/poem-1/now Poet luma-sim-key ");
}

// A submission whose response is no proof of a job, where there is no list: it fails and says so, and is
// never submitted again.
TEST(other_family, a_lost_submission_is_not_guessed) {
  temp_dir dir;
  poets upstream;
  config settings = test_config(dir, upstream.url());
  settings.upstreams[0].protocol = "poets";
  const catalogue both{&luma::family, &poems::family};
  running_relay relay(settings, both, poems::routes);
  const client c = relay.as("me");
  const std::string id(text_of(c.post("/poems", R"({"theme":"oblivion"})").json().as_object(), "poem"));
  const response torn = wait_for_phase(c, id, "torn");
  EXPECT_TRUE(text_of(torn.json().as_object(), "why").ends_with("so it was not submitted again"))
      << torn.body;
  EXPECT_EQ(upstream.requests().size(), 1u) << "one POST, no list";
}

// A protocol with a marker gets one with each submission when upstreams can reach the relay.
TEST(other_family, the_marker_field_is_its_own) {
  temp_dir dir;
  poets upstream;
  config settings = test_config(dir, upstream.url());
  settings.upstreams[0].protocol = "poets";
  settings.server.public_url = "https://relay.example.com";
  const catalogue both{&luma::family, &poems::family};
  running_relay relay(settings, both, poems::routes);
  const client c = relay.as("me");
  const std::string id(text_of(c.post("/poems", R"({"theme":"snow"})").json().as_object(), "poem"));
  wait_for_phase(c, id, "written");
  const std::string expected =
      R"(POST /desk/poems Poet luma-sim-key {"theme":"snow","tell":"https://relay.example.com/callbacks/)" +
      id + "/";
  EXPECT_TRUE(upstream.requests().at(0).starts_with(expected)) << upstream.requests().at(0);
}

}  // namespace
}  // namespace relay::test
