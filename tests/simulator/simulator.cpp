#include "tests/simulator/simulator.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <charconv>

#include "common/base/url.hpp"
#include "common/engine/token.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "tests/simulator/assets.hpp"

namespace relay::sim {
namespace {

int number_after(std::string_view prompt, std::string_view tag, int least = 100, int most = 599) {
  const auto at = prompt.find(tag);
  if (at == std::string_view::npos) return 0;
  int value = 0;
  const char* from = prompt.data() + at + tag.size();
  std::from_chars(from, prompt.data() + prompt.size(), value);
  return value >= least && value <= most ? value : 0;
}

std::string random_uuid() {
  return make_id(wall_clock(), random_for_id());
}

}  // namespace

simulator::simulator(options o) : options_(std::move(o)) {
  http::application service;
  service.handle = [this](http::request& r) { return handle(r); };
  service.refuse = [this](const error& e, const http::unrouted&) {
    return detail(e.http_status(), e.message.text);
  };
  listener_ = std::make_unique<http::listener>(loop_, http::bind(loop_, *parse_listen(options_.listen)),
                                               std::move(service), http::session_limits{},
                                               http::listener_limits{}, shared_);
  auto sweeping = deadlines_.run();
  asio::co_spawn(loop_.get_executor(), std::move(sweeping), asio::detached);
  auto accepting = listener_->run();
  asio::co_spawn(loop_.get_executor(), std::move(accepting), asio::detached);
  stop_signal_.expires_at(steady_clock::time_point::max());
}

simulator::~simulator() = default;

void simulator::run() {
  loop_.run();
}

void simulator::stop() {
  asio::post(loop_.get_executor(), [this] {
    stop_signal_.cancel();  // wakes who hangs or waits to call back
    listener_->abort();
    deadlines_.expire_all();
    auto wind_down = [](simulator& self) -> awaitable<> {
      steady_timer pause(self.loop_.get_executor());
      while (self.listener_->connections() > 0) {
        pause.expires_after(std::chrono::milliseconds(5));
        co_await pause.async_wait(as_result);
      }
      self.deadlines_.stop();
    };
    asio::co_spawn(loop_.get_executor(), wind_down(*this), asio::detached);
  });
}

http::reply simulator::detail(int status, std::string_view text) const {
  return http::json_reply(status, {{"detail", json::string(text)}});
}

bool simulator::authorised(const std::string& key) const {
  return key == options_.key || std::ranges::find(options_.more_keys, key) != options_.more_keys.end();
}

// What stands in a prompt for some simulators is nothing to the others.
bool simulator::is_meant(const std::string& prompt, const std::string& key) const {
  constexpr std::string_view tag = "#at-";
  bool any = false;
  for (auto at = prompt.find(tag); at != std::string::npos; at = prompt.find(tag, at + 1)) {
    any = true;
    const std::string name = prompt.substr(at + tag.size(), prompt.find(' ', at) - at - tag.size());
    if (name == options_.name || name == options_.name + "/" + key) return true;
  }
  return !any;
}

void simulator::refuse_key(std::string key, int status) {
  asio::post(loop_.get_executor(), [this, key = std::move(key), status] { refused_keys_[key] = status; });
}

json::object simulator::render(const job& j) const {
  const std::string assets = options_.public_url.empty() ? url() : options_.public_url;
  json::object out = options_.protocol == "station"  ? render_web_app(j, wall_clock(), assets)
                     : options_.protocol == "agents" ? render_agents(j, wall_clock(), assets)
                                                     : render_official(j, wall_clock(), assets);
  if (json::value* request = out.if_contains("request"); request != nullptr && !options_.echo_callback)
    request->get_object()["callback_url"] = nullptr;
  return out;
}

awaitable<http::reply> simulator::handle(http::request& r) {
  if (r.path.starts_with("/assets/")) co_return asset(r.path);
  if (r.path.starts_with("/_sim/")) co_return log(r);
  const std::string key(credential(r.header("Authorization")));
  if (!authorised(key)) co_return detail(401, "Invalid API key is provided");

  const bool agents = options_.protocol == "agents";
  const bool station = options_.protocol == "station" || agents;  // neither has more than create and get
  const std::string base = agents    ? "/v1/generations"
                           : station ? "/luma/generations"
                                     : "/dream-machine/v1/generations";
  if (!r.path.starts_with(base)) {
    if (!station && r.path == "/dream-machine/v1/ping")
      co_return http::json_reply(200, {{"message", "pong"}});
    if (!station && r.path == "/dream-machine/v1/credits")
      co_return http::json_reply(200, {{"credit_balance", 1234.5}});
    co_return detail(404, "Not Found");
  }
  const std::string_view rest = r.path.substr(base.size());
  if (r.method == http::verb::delete_ && !station) co_return remove(rest);
  if (r.method == http::verb::post) {
    const order what = order_of(rest);
    if (what.kind.empty()) co_return detail(404, "Not Found");
    if (!what.base.empty() && !jobs_.contains(what.base)) co_return detail(404, "Generation not found");
    bool hang = false;
    http::reply out = create(r, key, hang, what);
    if (hang) co_await stop_signal_.async_wait(as_result);
    if (out.status == 0) throw std::runtime_error("the connection ends, as the prompt asked");
    co_return out;
  }
  if (r.method != http::verb::get) co_return detail(405, "Method Not Allowed");
  if (rest.empty() && !station) co_return list(r, key);
  if (!station && (rest == "/concepts/list" || rest == "/camera_motion/list")) {
    ++word_lists_;
    http::reply words;
    words.body = rest == "/concepts/list" ? R"(["orbit_left","a_new_one"])" : R"(["camera orbit left"])";
    co_return words;
  }
  if (rest.starts_with('/')) co_return co_await fetch(std::string(rest.substr(1)), key);
  co_return detail(404, "Not Found");
}

simulator::order simulator::order_of(std::string_view rest) const {
  if (options_.protocol == "agents") return rest.empty() ? order{"video", {}, {}} : order{};
  const bool station = options_.protocol == "station";
  if (rest.empty() || (!station && rest == "/video")) return {"video", {}, {}};
  if (!station && rest == "/image") return {"image", {}, {}};
  if (!station && rest == "/image/reframe") return {"image", {}, "reframe_image"};
  if (!station && rest == "/video/reframe") return {"video", {}, "reframe_video"};
  if (!station && rest == "/video/modify") return {"video", {}, "modify_video"};
  const auto slash = rest.rfind('/');
  const std::string base(rest.substr(1, slash > 0 ? slash - 1 : 0));
  const std::string_view verb = rest.substr(slash + 1);
  if (station && verb == "extend") return {"video", base, {}};
  if (!station && verb == "upscale") return {"video", base, "upscale_video"};
  if (!station && verb == "audio") return {"video", base, "add_audio"};
  return {};
}

bool simulator::over_limit(const std::string& key, timestamp now, std::string& why) {
  if (!options_.limits) return false;
  std::deque<timestamp>& recent = recent_creates_[key];
  while (!recent.empty() && recent.front() < now - std::chrono::minutes(1)) recent.pop_front();
  if (std::ssize(recent) >= options_.in_minute) {
    why = "Rate limit exceeded: " + std::to_string(options_.in_minute) + " create requests per minute";
    return true;
  }
  int open = 0;
  for (const auto& [id, j] : jobs_) {
    const phase p = j.at(now);
    open += j.key == key && (p == phase::queued || p == phase::dreaming);
  }
  if (open < options_.at_once) return false;
  why = "Concurrency limit exceeded: " + std::to_string(options_.at_once) + " generations";
  return true;
}

namespace {

// Why the agents API refuses a request; empty: it does not.
std::string wrong_for_agents(const json::object& o) {
  const std::string_view type = text_of(o, "type");
  const std::string_view model = text_of(o, "model");
  const auto is = [](std::string_view v, std::initializer_list<std::string_view> words) {
    return std::ranges::find(words, v) != words.end();
  };
  if (!is(type, {"image", "image_edit", "video", "video_edit", "video_reframe"})) return "type: unknown";
  if (!(type.starts_with("image") ? is(model, {"uni-1", "uni-1-max"}) : model == "ray-3.2"))
    return "model: unknown";
  if (text_of(o, "prompt").empty()) return "prompt: String should have at least 1 character";
  if (type != "image" && type != "video" && member(o, "source") == nullptr) return "source: Field required";
  const json::value* video = member(o, "video");
  if (video == nullptr) return {};
  const json::object& options = video->get_object();
  if (const auto d = text_of(options, "duration"); !d.empty() && !is(d, {"5s", "10s"}))
    return "video.duration: unknown";
  if (const auto r = text_of(options, "resolution"); !r.empty() && !is(r, {"360p", "540p", "720p", "1080p"}))
    return "video.resolution: unknown";
  return {};
}

}  // namespace

http::reply simulator::create(const http::request& r, const std::string& key, bool& hang,
                              const order& asked) {
  order what = asked;
  const timestamp now = wall_clock();
  json::object entry{{"at", json::string(to_iso(now, precision::milliseconds))},
                     {"path", json::string(r.target)},
                     {"key", json::string(key)},
                     {"traceparent", json::string(r.header("traceparent"))},
                     {"id", nullptr},
                     {"body", nullptr}};
  const auto record = [&](http::reply out) {
    entry["status"] = out.status;
    if (out.status >= 300) ++refused_;
    creates_.push_back(std::move(entry));
    if (creates_.size() > options_.max_log) creates_.pop_front();
    return out;
  };
  auto body = parse_lenient(r.body);
  if (!body || !body->is_object()) return record(detail(422, "Input should be a JSON object"));
  json::object& o = body->get_object();
  entry["body"] = o;
  std::string prompt(first_text(o, {"prompt", "user_prompt", "resolution"}));
  if (!is_meant(prompt, key)) prompt = "nothing to this one";
  if (const auto refused = refused_keys_.find(key); refused != refused_keys_.end() && refused->second != 0)
    return record(detail(refused->second, "refused, whatever it is"));

  std::string why;
  if (over_limit(key, now, why)) {
    http::reply out = detail(429, why);
    out.add_header("Retry-After", "1");
    return record(std::move(out));
  }
  if (prompt.find("#drop") != std::string::npos) return record(detail(0, "dropped"));
  if (const int after = number_after(prompt, "#late-")) {
    auto making = make_late(std::move(o), key, milliseconds(after), what);
    asio::co_spawn(loop_.get_executor(), std::move(making), asio::detached);
    return record(detail(0, "cut"));
  }
  if (const int status = number_after(prompt, "#quote-"))
    return record(detail(status, "the key " + key + " may not do this"));
  if (const int status = number_after(prompt, "#refuse-"))
    return record(detail(status, "refused as the prompt asked"));
  if (options_.protocol == "agents") {
    if (const std::string wrong = wrong_for_agents(o); !wrong.empty()) return record(detail(422, wrong));
    what.kind = text_of(o, "type").starts_with("image") ? "image" : "video";
  }
  // As its schema has it: these name their type, and a file.
  if (what.base.empty() && !what.builds_on.empty() &&
      (text_of(o, "generation_type") != what.builds_on || member(o, "media") == nullptr))
    return record(detail(422, "generation_type and media are required"));
  if (prompt.size() < 3 && o.if_contains("keyframes") == nullptr && o.if_contains("image_url") == nullptr &&
      what.builds_on.empty()) {
    return record(detail(
        400, prompt.empty() ? "Prompt is required" : "Prompt is too short, minimum length is 3 characters"));
  }

  const job& j = make_job(std::move(o), key, what);
  entry["id"] = json::string(j.id);
  http::reply out = http::json_reply(201, render(j));
  hang = prompt.find("#hang") != std::string::npos;
  if (const int status = number_after(prompt, "#answer-"))
    out = detail(status, "answered as the prompt asked");
  if (prompt.find("#cut") != std::string::npos) out = detail(0, "cut");
  if (prompt.find("#garbage") != std::string::npos) out.body = "<html>created</html>";
  return record(std::move(out));
}

job& simulator::make_job(json::object request, const std::string& key, const order& what) {
  const timestamp now = wall_clock();
  const std::string prompt(first_text(request, {"prompt", "user_prompt", "resolution"}));
  job j;
  j.id = random_uuid();
  j.key = key;
  j.links_for = options_.links_for;
  j.kind = what.kind;
  j.builds_on = what.builds_on;
  j.callback_url = first_text(request, {"callback_url", "notify_hook"});
  j.created_at = now;
  j.queued_for = options_.queued_for;
  j.dreams_for = options_.dreams_for;
  j.by_polls = options_.by_polls;
  j.padding = static_cast<std::size_t>(number_after(prompt, "#pad-", 1, 1'000'000));
  if (prompt.find("#fail") != std::string::npos && is_meant(prompt, key)) j.failure_reason = "Job failed";
  if (prompt.find("#moderated") != std::string::npos) j.failure_reason = "Advanced prompt moderation failed";
  j.request = std::move(request);
  recent_creates_[key].push_back(now);
  order_.push_back(j.id);
  if (!options_.silent && is_web_url(j.callback_url)) {
    auto calling = call_back(j.id);
    asio::co_spawn(loop_.get_executor(), std::move(calling), asio::detached);
  }
  const std::string id = j.id;
  return jobs_.emplace(id, std::move(j)).first->second;
}

awaitable<> simulator::make_late(json::object request, std::string key, milliseconds after, order what) {
  steady_timer wait(loop_.get_executor());
  wait.expires_after(after);
  co_await wait.async_wait(as_result);
  if (!deadlines_.expiring()) make_job(std::move(request), key, what);
}

awaitable<http::reply> simulator::fetch(std::string id, std::string key) {
  const auto time = steady_clock::now();
  last_second_.push_back(time);
  while (time - last_second_.front() >= std::chrono::seconds(1)) last_second_.pop_front();
  most_in_a_second_ = std::max(most_in_a_second_, last_second_.size());
  most_at_once_ = std::max(most_at_once_, ++asking_[id]);
  if (options_.poll_delay.count() > 0) {
    steady_timer wait(loop_.get_executor());
    wait.expires_after(options_.poll_delay);
    co_await wait.async_wait(as_result);
  }
  --asking_[id];
  ++polls_[id];
  if (forgotten_ == amnesia::polls) co_return detail(404, "Generation not found");
  if (forgotten_ == amnesia::gateway) {
    http::reply out;
    out.status = 404;
    out.content_type = "text/html";
    out.body = "<html>404 Not Found</html>";
    co_return out;
  }
  const auto found = jobs_.find(id);
  // Another account's job is as absent as an absent one.
  const bool foreign = found != jobs_.end() && found->second.key != key;
  wrong_key_ += foreign;
  if (found == jobs_.end() || foreign || is_forgotten(found->second))
    co_return detail(404, "Generation not found");
  ++found->second.polls;
  found->second.completed_seen += found->second.at(wall_clock()) == phase::completed;
  co_return http::json_reply(200, render(found->second));
}

// The job stays, and is seen no more: what it was created for is still counted.
http::reply simulator::remove(std::string_view path) {
  const std::string id(path.substr(path.starts_with('/') ? 1 : 0));
  ++removes_;
  if (removals_fail_) return detail(500, "Internal Server Error");
  if (!jobs_.contains(id) || !removed_.insert(id).second) return detail(404, "Generation not found");
  http::reply out;
  out.status = 204;
  return out;
}

http::reply simulator::list(const http::request& r, const std::string& key) {
  const auto number = [&r](std::string_view name, std::size_t otherwise) {
    const auto text = http::query_value(r.query, name);
    std::size_t value = otherwise;
    if (text) std::from_chars(text->data(), text->data() + text->size(), value);
    return value;
  };
  const std::size_t limit = std::min(number("limit", 100), options_.list_page);
  const std::size_t offset = number("offset", 0);
  ++lists_;
  if (list_down_) return detail(503, "The list is down");
  if (lists_ * options_.list_fails % 100 < options_.list_fails) return detail(500, "Internal Server Error");
  // Jobs at its head go while it is read: what follows moves up.
  if (offset > 0 && !std::exchange(shrunk_, true)) {
    for (int i = 0; i < options_.list_shrinks && !order_.empty(); ++i) order_.pop_back();
  }
  json::array page;
  std::vector<const job*> own;
  for (const std::string& id : order_) {
    const job& j = jobs_.at(id);
    if (j.key == key) own.push_back(&j);
  }
  // The newest may not be in it yet, or not any more.
  std::size_t shown = own.size();
  while (shown > 0 &&
         (own[shown - 1]->created_at > wall_clock() - options_.list_lag || is_forgotten(*own[shown - 1])))
    --shown;
  std::size_t count = 0;
  for (std::size_t i = offset; i < shown && count < limit; ++i, ++count) {
    if (options_.list_odd > 0 && i % options_.list_odd == 0) {
      page.emplace_back(nullptr);  // stands in the place of a job that nobody asks for
      continue;
    }
    const bool other_way = options_.list_lies == options::lie::oldest_first;
    page.push_back(listed(*own[other_way ? i : shown - 1 - i]));
  }
  json::object out{{"count", count}, {"limit", limit}, {"offset", offset}, {"generations", std::move(page)}};
  if (options_.list_says_more)
    out["has_more"] = offset + count < shown && options_.list_lies != options::lie::ends_early;
  return http::json_reply(200, std::move(out));
}

json::value simulator::listed(const job& j) const {
  json::object out = render(j);
  if (options_.list_lies == options::lie::hours_early)
    out["created_at"] = to_iso(j.created_at - std::chrono::hours(8), precision::microseconds);
  if (options_.list_padding > 0) out["padding"] = json::string(options_.list_padding, 'x');
  json::value deep = nullptr;
  for (int i = 0; i < options_.list_depth; ++i) deep = json::array{std::move(deep)};
  if (options_.list_depth > 0) out["deep"] = std::move(deep);
  return out;
}

void simulator::list_is_down(bool down) {
  asio::post(loop_.get_executor(), [this, down] { list_down_ = down; });
}

void simulator::removals_fail(bool fail) {
  asio::post(loop_.get_executor(), [this, fail] { removals_fail_ = fail; });
}

void simulator::forget_jobs(amnesia how) {
  asio::post(loop_.get_executor(), [this, how] {
    forgotten_ = how;
    forgets_since_ = wall_clock();
  });
}

bool simulator::is_forgotten(const job& j) const {
  return forgotten_ == amnesia::new_jobs && j.created_at >= forgets_since_;
}

http::reply simulator::asset(std::string_view path) {
  http::reply out;
  const bool video = path.ends_with(".mp4");
  if (!video && !path.ends_with(".jpg")) return detail(404, "Not Found");
  out.content_type = video ? "video/mp4" : "image/jpeg";
  out.body = video ? video_bytes() : image_bytes();
  return out;
}

http::reply simulator::log(const http::request& r) const {
  if (r.path != "/_sim/log") return detail(404, "Not Found");
  json::array creates;
  const bool brief = r.query == "brief";  // the numbers only
  for (const json::object& c : creates_) {
    if (!brief) creates.emplace_back(c);
  }
  json::array removed;
  for (const std::string& id : removed_) removed.emplace_back(id);
  json::object polls;
  for (const auto& [id, n] : polls_) {
    if (!brief) polls[id] = n;
  }
  return http::json_reply(200, {{"created", static_cast<std::int64_t>(jobs_.size())},
                                {"refused", refused_},
                                {"callbacks", callbacks_},
                                {"wrong_key", wrong_key_},
                                {"lists", lists_},
                                {"word_lists", word_lists_},
                                {"removes", removes_},
                                {"removed", std::move(removed)},
                                {"most_polls_of_one_job_at_once", most_at_once_},
                                {"most_polls_in_a_second", most_in_a_second_},
                                {"creates", std::move(creates)},
                                {"polls", std::move(polls)}});
}

// POST on dreaming and at the end; three more tries 100 ms apart, as the official API does.
awaitable<> simulator::call_back(std::string id) {
  phase told = phase::queued;
  steady_timer wait(loop_.get_executor());
  while (told != phase::completed && told != phase::failed) {
    wait.expires_after(std::chrono::milliseconds(20));
    co_await wait.async_wait(as_result);
    if (deadlines_.expiring()) co_return;
    const job& j = jobs_.at(id);
    const phase now = j.at(wall_clock());
    if (now == told) continue;
    told = now;
    const std::string body = json::serialize(render(j));
    const std::string url = j.callback_url;
    for (int attempt = 0; attempt < 4; ++attempt) {
      ++callbacks_;
      if (co_await post_once(url, body)) break;
      wait.expires_after(std::chrono::milliseconds(100));
      co_await wait.async_wait(as_result);
    }
  }
}

awaitable<bool> simulator::post_once(std::string url, std::string body) {
  const auto to = parse_base_url(url);
  if (!to || to->tls) co_return false;
  boost::system::error_code ec;
  const auto address = asio::ip::make_address(to->host == "localhost" ? "127.0.0.1" : to->host, ec);
  if (ec || !address.is_loopback()) co_return false;  // a sandbox calls nobody else
  const auto s = std::make_shared<tcp_socket>(loop_.get_executor());
  const asio::ip::tcp::endpoint endpoint(address, to->port);
  steady_timer late(loop_.get_executor());
  late.expires_after(std::chrono::seconds(5));
  auto on_late = [s](boost::system::error_code e) {
    boost::system::error_code ignored;
    if (!e) s->close(ignored);
  };
  late.async_wait(std::move(on_late));
  auto [failed] = co_await s->async_connect(endpoint, as_result);
  if (failed) co_return false;
  const std::string request = "POST " + (to->path.empty() ? "/" : to->path) +
                              " HTTP/1.1\r\nHost: " + to->authority() +
                              "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " +
                              std::to_string(body.size()) + "\r\n\r\n" + body;
  auto [cut_off, sent] = co_await asio::async_write(*s, asio::buffer(request), as_result);
  if (cut_off) co_return false;
  std::string answer;
  auto buffer = asio::dynamic_buffer(answer, 64 * 1024);
  auto [gone, n] = co_await asio::async_read_until(*s, buffer, "\r\n", as_result);
  co_return !gone && answer.starts_with("HTTP/1.1 200");
}

}  // namespace relay::sim
