// What clients ask beside jobs: the words that a request may hold, who they are, and what they have left.
// That is their account's balance, if they pay in advance; else a figure of the configuration, or the
// operator's own.

#include <algorithm>
#include <cmath>

#include "server/await_store.hpp"
#include "server/handlers/handlers.hpp"

namespace relay::handlers {
namespace {

// In hundredths of the currency's unit, which clients call cents.
awaitable<result<money>> left_in_cents(call& c) {
  if (c.who.prepaid) {
    const auto has = co_await from_store(c.in.tasks, &store::balance, c.who.id);
    if (!has) co_return std::unexpected(has.error());
    co_return scaled(has->left(), 100, 1);
  }
  const credits_config& set = c.in.settings.credits;
  if (!set.from_upstreams) co_return money{set.balance_cents * millionths_of_unit};
  const auto sum = co_await c.in.facts.credits();
  if (sum) {
    const double most = static_cast<double>(max_money.millionths);
    co_return money{std::llround(std::clamp(*sum * millionths_of_unit, -most, most))};
  }
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
  const auto cents = co_await left_in_cents(c);
  if (!cents) co_return std::unexpected(cents.error());
  // A number with a fraction, as the official schema has it.
  http::reply out;
  out.body = R"({"credit_balance":)" + to_text(*cents) + "}";
  co_return out;
}

// The web app's, as stations pass it on: whole numbers.
awaitable<handled> subscription_usage(call& c) {
  const auto cents = co_await left_in_cents(c);
  if (!cents) co_return std::unexpected(cents.error());
  std::int64_t whole = cents->millionths / millionths_of_unit;
  if (cents->millionths % millionths_of_unit < 0) --whole;
  co_return http::json_reply(200, {{"available", whole}});
}

awaitable<handled> users_me(call& c) {
  const json::string name(c.who.name);
  co_return http::json_reply(200, {{"id", std::to_string(c.who.id)}, {"username", name}, {"name", name}});
}

}  // namespace relay::handlers
