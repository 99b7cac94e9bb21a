// GET …/generations/{id} in any form, and the list: served from the task table, never from upstream.

#include <algorithm>
#include <charconv>

#include "common/base/id.hpp"
#include "common/base/problems.hpp"
#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/handlers/handlers.hpp"
#include "server/handlers/item_list.hpp"
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

// The newest revision, as soon as the client can see a difference, or when its time is over.
awaitable<task_ptr> wait_for_change(call& c, watch::waiter& change, task_ptr known,
                                    std::chrono::seconds wait) {
  const auto word = c.on.form().word;
  const auto differs = [&known, word](const task& newer) {
    return word(newer.state) != word(known->state) || newer.progress != known->progress ||
           is_set(newer.deleted_at);
  };
  const auto may_wait = [&c] { return c.in.accounts.in_force(*c.by, now()); };
  auto newer = co_await change.until(differs, steady_clock::now() + wait, watch::on_drain::leave, may_wait);
  co_return newer ? newer : known;
}

}  // namespace

std::unexpected<error> not_found() {
  return fail(errc::task_not_found, "Generation not found: no such id for this account");
}

awaitable<result<task_ptr>> find_own(call& c, std::string_view id) {
  std::string normal = normalise_id(id);
  auto found = co_await find_task(c.in.tasks, c.who.id, std::move(normal));
  if (found && !*found) co_return not_found();
  co_return found;
}

awaitable<handled> get_generation(call& c) {
  const auto wait = preferred_wait(c);
  std::optional<watch::waiter> change;  // before the task is read, so that nothing is missed
  if (wait) change.emplace(c.in.changes, normalise_id(c.id));
  // Most reads are of a task in memory: no coroutine for those.
  task_ptr t = c.in.tasks.in_memory(c.id);
  if (!t || !is_shown_to(*t, c.who.id)) {
    auto found = co_await find_own(c, c.id);
    if (!found) co_return std::unexpected(std::move(found.error()));
    t = std::move(*found);
  }
  if (wait) {
    if (!is_terminal(t->state)) t = co_await wait_for_change(c, *change, std::move(t), *wait);
    if (!c.in.accounts.in_force(*c.by, now())) co_return std::unexpected(invalid_key());
    if (!is_shown_to(*t, c.who.id)) co_return not_found();  // deleted meanwhile
    c.headers.emplace_back("Preference-Applied", preference_applied(*wait));
  }
  if (fresh_links::needed(*t))
    t = co_await c.in.links.of(std::move(t), steady_clock::now() + fresh_links::longest_wait);
  // RFC 7234 §5.5: a miscellaneous, persistent warning.
  if (is_set(t->links_lost_at) || fresh_links::needed(*t))
    c.headers.emplace_back("Warning",
                           "299 - \"The links of this result have ended, and its upstream names no others\"");
  http::reply out;
  auto shown = c.in.rendered.append(out.body, c.on.form(), *t, now());
  if (!shown) co_return std::unexpected(std::move(shown.error()));
  co_return out;
}

awaitable<handled> list_generations(call& c) {
  problems wrong;
  page_request page;
  // The official maximum is not documented: more is no error.
  page.limit = std::min(whole_number(c, "limit", default_limit, 1, 1'000'000, wrong), max_limit);
  page.offset = whole_number(c, "offset", 0, 0, max_offset, wrong);
  if (!wrong.none()) co_return std::unexpected(std::move(wrong).to_error());
  auto found = co_await from_store(c.in.tasks, &store::list, c.who.id, page, tasks_at_once);
  if (!found) co_return std::unexpected(std::move(found.error()));
  list_frame frame = c.on.speaks->frame_page(found->ids.size(), found->has_more, page);
  co_return co_await reply_with_tasks(c, c.on.form(), std::move(frame), std::move(found->ids),
                                      std::move(found->tasks), absent::an_error);
}

}  // namespace relay::handlers
