// What clients ask beside jobs: the words that a request may hold, and what they have left. Accounts have no
// balances yet: what is left is a figure of the configuration, or the operator's own.

#include <cmath>
#include <cstdio>

#include "server/handlers/handlers.hpp"

namespace relay::handlers {
namespace {

// In cents.
awaitable<result<double>> balance(call& c) {
  const credits_config& set = c.in.settings.credits;
  if (!set.from_upstreams) co_return static_cast<double>(set.balance_cents);
  const auto sum = co_await c.in.facts.credits();
  if (sum) co_return *sum;
  error e;
  e.code = errc::upstream_unavailable;
  e.retry_after_seconds = 30;
  e.message.text = "The balance cannot be read now. Try again in a minute";
  co_return std::unexpected(std::move(e));
}

}  // namespace

awaitable<handled> list_words(call& c) {
  std::string path(c.on.words->path);
  auto told = co_await c.in.facts.body_of(std::move(path), is_word_list);
  http::reply out;
  out.body = told ? std::move(*told) : usual_words(*c.on.words);
  co_return out;
}

awaitable<handled> credits(call& c) {
  const auto cents = co_await balance(c);
  if (!cents) co_return std::unexpected(cents.error());
  // A number with a fraction, as the official schema has it.
  char text[64];
  std::snprintf(text, sizeof text, R"({"credit_balance":%.2f})", *cents);
  http::reply out;
  out.body = text;
  co_return out;
}

// The web app's, as stations pass it on: whole numbers.
awaitable<handled> subscription_usage(call& c) {
  const auto cents = co_await balance(c);
  if (!cents) co_return std::unexpected(cents.error());
  co_return http::json_reply(200, {{"available", static_cast<std::int64_t>(std::floor(*cents))}});
}

awaitable<handled> users_me(call& c) {
  const json::string name(c.who.name);
  co_return http::json_reply(200, {{"id", std::to_string(c.who.id)}, {"username", name}, {"name", name}});
}

}  // namespace relay::handlers
