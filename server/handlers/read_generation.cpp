// GET …/generations/{id}, …/download_video_url, and the list: answered from the task table, never from
// upstream.

#include <algorithm>
#include <charconv>

#include "common/base/id.hpp"
#include "common/luma/validation.hpp"
#include "common/luma/view.hpp"
#include "server/clock.hpp"
#include "server/entropy.hpp"
#include "server/handlers/handlers.hpp"
#include "server/handlers/waiting.hpp"

namespace relay::handlers {
namespace {

constexpr std::int64_t default_limit = 100;
constexpr std::int64_t max_limit = 100;
constexpr std::int64_t max_offset = 1'000'000;

std::int64_t whole_number(const call& c, std::string_view name, std::int64_t otherwise, std::int64_t min,
                          std::int64_t max, problems& wrong) {
  const auto text = http::query_value(c.http.query, name);
  if (!text) return otherwise;
  std::int64_t value = 0;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (ec != std::errc{} || end != text->data() + text->size() || value < min || value > max) {
    const json::value input = json::string(*text);
    wrong.wrong_type(
        {"query", std::string(name)}, "int_parsing",
        "Input should be a whole number from " + std::to_string(min) + " to " + std::to_string(max), &input);
  }
  return value;
}

}  // namespace

result<task_ptr> find_own(call& c, std::string_view id) {
  auto found = c.in.tasks.find(c.who.id, normalise_id(id));
  if (!found) return std::unexpected(std::move(found.error()));
  if (!*found) return fail(errc::task_not_found, "Generation not found: no such id for this API key");
  return std::move(*found);
}

awaitable<http::reply> get_generation(call& c) {
  const auto patience = preferred_wait(c);
  std::optional<watch::waiter> change;
  if (patience) change.emplace(c.in.changes, normalise_id(c.id));
  auto t = find_own(c, c.id);
  if (!t) co_return error_reply(t.error(), c.on.errors);
  if (patience && !is_terminal((*t)->state)) {
    const auto differs = [before = *t](const task& newer) {
      return shared::official_state(newer.state) != shared::official_state(before->state) ||
             newer.progress != before->progress;
    };
    if (auto newer = co_await change->until(differs, steady_clock::now() + *patience, watch::manner::listens))
      t = std::move(newer);
  }
  const rendering how = c.on.speaks == dialect_id::luma ? rendering::web_app : rendering::official;
  http::reply out;
  out.body = c.in.rendered.get(how, **t, now());
  if (patience) out.add_header("Preference-Applied", preference_applied(*patience));
  co_return out;
}

awaitable<http::reply> download_url(call& c) {
  const auto t = find_own(c, c.id);
  if (!t) co_return error_reply(t.error(), c.on.errors);
  const task_view seen(**t);
  const json::object* video = seen.video.if_object();
  if (video == nullptr) {
    error e;
    e.code = errc::invalid_request;
    e.message.text =
        "The video is not there: the generation is " + std::string(shared::web_app_state((*t)->state));
    co_return error_reply(e, c.on.errors);
  }
  co_return http::json_reply(200, {{"url", video->at("download_url")}});
}

awaitable<http::reply> list_generations(call& c) {
  problems wrong;
  const std::int64_t asked_limit = whole_number(c, "limit", default_limit, 1, 1'000'000, wrong);
  const std::int64_t limit =
      std::min(asked_limit, max_limit);  // the official maximum is not documented: no error
  const std::int64_t offset = whole_number(c, "offset", 0, 0, max_offset, wrong);
  if (!wrong.none()) co_return error_reply(std::move(wrong).to_error(), c.on.errors);
  const auto page = c.in.tasks.list(c.who.id, limit, offset);
  if (!page) co_return error_reply(page.error(), c.on.errors);
  const timestamp time = now();
  json::array generations;
  generations.reserve(page->tasks.size());
  for (const task& t : page->tasks) generations.emplace_back(dialect_of(c.on.speaks).render(t, time));
  json::object body{{"has_more", page->has_more},
                    {"count", static_cast<std::int64_t>(page->tasks.size())},
                    {"limit", limit},
                    {"offset", offset},
                    {"generations", std::move(generations)}};
  co_return http::json_reply(200, body);
}

}  // namespace relay::handlers
