// A customer's own use: GET /relay/v1/usage, and the same in the words that station front ends ask for.

#include <algorithm>
#include <chrono>
#include <map>

#include "server/await_store.hpp"
#include "server/clock.hpp"
#include "server/handlers/handlers.hpp"
#include "server/usage_report.hpp"

namespace relay::handlers {
namespace {

constexpr usage_by own_dimensions[] = {usage_by::day, usage_by::token, usage_by::action, usage_by::model,
                                       usage_by::outcome};
constexpr std::int32_t usual_days = 30;
constexpr std::int64_t most_rows = 5'000;

std::unexpected<error> wrong(std::string_view parameter, error e) {
  e.message.text.insert(0, std::string(parameter) + ": ");
  return std::unexpected(std::move(e));
}

result<std::int32_t> day_in(const call& c, std::string_view name, std::int32_t otherwise) {
  const auto text = http::query_value(c.http.query, name);
  if (!text) return otherwise;
  auto day = parse_day(*text);
  if (!day) return wrong(name, std::move(day.error()));
  return day;
}

result<usage_query> query_of(const call& c) {
  usage_query out;
  const std::int32_t today = day_of(now());
  auto until = day_in(c, "until", today);
  if (!until) return std::unexpected(std::move(until.error()));
  auto since = day_in(c, "since", *until - usual_days + 1);
  if (!since) return std::unexpected(std::move(since.error()));
  if (*since > *until) return fail(errc::invalid_request, "since: must not be after until");
  const auto by = http::query_value(c.http.query, "by");
  auto parsed = parse_usage_by(by ? *by : "day,action,model", own_dimensions);
  if (!parsed) return wrong("by", std::move(parsed.error()));
  out.since = *since;
  out.until = *until;
  out.account = c.who.id;
  out.limit = most_rows;
  out.by = std::move(*parsed);
  return out;
}

// Amounts as JSON numbers: the digits of their text.
http::reply with_body(std::string body) {
  http::reply out;
  out.body = std::move(body);
  return out;
}

struct standing {
  account_balance has;
  money used;  // since the account exists
};
awaitable<result<standing>> standing_of(call& c) {
  const auto has = co_await from_store(c.in.tasks, &store::balance, c.who.id);
  if (!has) co_return std::unexpected(has.error());
  usage_query all;
  all.until = day_of(now()) + 1;
  all.account = c.who.id;
  const auto sums = co_await from_store(c.in.tasks, &store::usage, std::move(all));
  if (!sums) co_return std::unexpected(sums.error());
  co_return standing{*has, sums->empty() ? money{} : sums->front().amount};
}

// What front ends show for an account that pays afterwards.
constexpr money no_limit{100'000'000 * millionths_of_unit};

}  // namespace

awaitable<handled> own_usage(call& c) {
  const auto query = query_of(c);
  if (!query) co_return std::unexpected(query.error());
  const auto rows = co_await from_store(c.in.tasks, &store::usage, *query);
  if (!rows) co_return std::unexpected(rows.error());
  const auto has = co_await from_store(c.in.tasks, &store::balance, c.who.id);
  if (!has) co_return std::unexpected(has.error());
  report_names names{[&c](std::int64_t) { return c.who.name; }, {}};
  if (std::ranges::find(query->by, usage_by::token) != query->by.end()) {
    const auto tokens = co_await from_store(c.in.tasks, &store::tokens);
    if (!tokens) co_return std::unexpected(tokens.error());
    std::map<std::int64_t, std::string> of;
    for (const token& t : *tokens) {
      if (t.account == c.who.id) of[t.id] = t.name;
    }
    names.token = [of = std::move(of)](std::int64_t id) {
      const auto found = of.find(id);
      return found == of.end() ? std::string("?") : found->second;
    };
  }
  json::object out{{"since", json::string(day_text(query->since))},
                   {"until", json::string(day_text(query->until))},
                   {"currency", json::string(c.in.prices.currency())},
                   {"balance", nullptr},
                   {"held", json::string(to_text(has->held))},
                   {"rows", usage_as_json(*rows, query->by, names, report_for::customer)}};
  // One that pays afterwards has no balance to run out of.
  if (c.who.prepaid) out["balance"] = json::string(to_text(has->balance));
  co_return http::json_reply(200, out);
}

// As one-api answers: front ends take the difference of the two for what is left.
awaitable<handled> billing_subscription(call& c) {
  const auto s = co_await standing_of(c);
  if (!s) co_return std::unexpected(s.error());
  const std::string limit = to_text(c.who.prepaid ? s->has.left() + s->used : no_limit);
  const std::int64_t until =
      is_set(c.by->with.expires_at)
          ? std::chrono::floor<std::chrono::seconds>(c.by->with.expires_at).time_since_epoch().count()
          : 0;
  co_return with_body(R"({"object":"billing_subscription","has_payment_method":true,"soft_limit_usd":)" +
                      limit + R"(,"hard_limit_usd":)" + limit + R"(,"system_hard_limit_usd":)" + limit +
                      R"(,"access_until":)" + std::to_string(until) + "}");
}

// In hundredths. Of all time, whatever days are asked for: the two must fit.
awaitable<handled> billing_usage(call& c) {
  const auto s = co_await standing_of(c);
  if (!s) co_return std::unexpected(s.error());
  co_return with_body(R"({"object":"list","total_usage":)" + to_text(scaled(s->used, 100, 1)) + "}");
}

}  // namespace relay::handlers
