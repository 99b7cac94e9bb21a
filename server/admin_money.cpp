#include "server/admin_money.hpp"

#include <algorithm>

#include "common/base/id.hpp"
#include "server/admin_reply.hpp"
#include "server/await_store.hpp"
#include "server/billing.hpp"
#include "server/clock.hpp"
#include "server/usage_report.hpp"

namespace relay {
namespace {

constexpr std::int64_t most_rows = 1'000;
constexpr std::int32_t usual_days = 30;

json::string text(money m) {
  return json::string(to_text(m));
}

json::object shown(const ledger_row& r, const customers& all) {
  const ledger_entry& e = r.entry;
  const account* of = all.find(e.account);
  const auto with = std::ranges::find(all.tokens, e.token, &token::id);
  return {{"id", r.id},
          {"at", time_or_null(e.at)},
          {"account", json::string(of == nullptr ? "?" : of->name)},
          {"kind", json::string(name_of(e.kind))},
          {"amount", text(e.amount)},
          {"held", text(e.held)},
          {"balance_after", text(r.after.balance)},
          {"held_after", text(r.after.held)},
          {"cost", text(e.cost)},
          {"job", json::string(e.task_id)},
          {"token", json::string(with == all.tokens.end() ? "" : with->name)},
          {"upstream", json::string(e.upstream)},
          {"upstream_id", json::string(e.upstream_id)},
          {"request_id", json::string(e.request_id)},
          {"note", json::string(e.note)},
          {"made_by", json::string(e.made_by)}};
}

std::int64_t number_of(const json::object& o, std::string_view key, std::int64_t otherwise) {
  const json::value* v = member(o, key);
  return v != nullptr && v->is_int64() ? v->get_int64() : otherwise;
}

// Nothing when no account is named.
result<std::optional<std::int64_t>> account_in(const json::object& o, const customers& all) {
  const auto name = text_of(o, "account");
  if (name.empty()) return std::nullopt;
  auto found = account_named(all, name);
  if (!found) return std::unexpected(std::move(found.error()));
  return found->id;
}

result<std::int32_t> day_in(const json::object& o, std::string_view key, std::int32_t otherwise) {
  const auto day = text_of(o, key);
  if (day.empty()) return otherwise;
  auto parsed = parse_day(day);
  if (!parsed) return fail(errc::invalid_request, std::string(key) + " " + parsed.error().log.text);
  return parsed;
}

result<usage_query> query_of(const json::object& o, const customers& all) {
  usage_query out;
  auto until = day_in(o, "until", day_of(now()));
  if (!until) return std::unexpected(std::move(until.error()));
  auto since = day_in(o, "since", *until - usual_days + 1);
  if (!since) return std::unexpected(std::move(since.error()));
  if (*since > *until) return fail(errc::invalid_request, "since must not be after until");
  auto account = account_in(o, all);
  if (!account) return std::unexpected(std::move(account.error()));
  const auto words = text_of(o, "by");
  auto by = parse_usage_by(words.empty() ? "account,day" : words, all_usage_by);
  if (!by) return fail(errc::invalid_request, "by " + by.error().log.text);
  out.since = *since;
  out.until = *until;
  out.account = *account;
  out.by = std::move(*by);
  return out;
}

}  // namespace

awaitable<result<json::object>> balance_of(admin_context in, std::int64_t account) {
  const auto has = co_await from_store(in.tasks, &store::balance, account);
  if (!has) co_return std::unexpected(has.error());
  co_return json::object{
      {"balance", text(has->balance)}, {"held", text(has->held)}, {"left", text(has->left())}};
}

awaitable<json::object> change_balance(admin_context in, ledger_kind kind, json::object o) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  const auto of = account_named(*all, text_of(o, "name"));
  if (!of) co_return failure(of.error().log.text);
  const auto amount = parse_money(text_of(o, "amount"));
  if (!amount) co_return failure("the amount " + amount.error().log.text);
  if (kind == ledger_kind::topup && *amount <= money{})
    co_return failure("the amount of a top-up must be above 0; to take something back, use adjust");
  if (*amount == money{}) co_return failure("an adjustment of 0 changes nothing");
  ledger_entry e;
  e.kind = kind;
  e.account = of->id;
  e.amount = *amount;
  e.note = text_of(o, "note");
  e.made_by = "owner";
  e.at = now();
  if (e.note.size() > max_account_note)
    co_return failure("note may have " + std::to_string(max_account_note) + " bytes");
  const auto row = co_await from_store(in.tasks, &store::book, std::move(e));
  if (!row) co_return failure(row.error().log.text);
  in.booked(row->entry);
  json::object out = shown(*row, *all);
  out["ok"] = true;
  out["left"] = text(row->after.left());
  out["currency"] = json::string(in.prices.currency());
  co_return out;
}

awaitable<json::object> list_ledger(admin_context in, json::object o) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  const auto account = account_in(o, *all);
  if (!account) co_return failure(account.error().log.text);
  ledger_filter f;
  f.account = *account;
  f.task_id = normalise_id(text_of(o, "job"));
  f.before = std::max<std::int64_t>(0, number_of(o, "before", 0));
  f.limit = std::clamp<std::int64_t>(number_of(o, "limit", f.limit), 1, most_rows);
  const auto rows = co_await from_store(in.tasks, &store::ledger, std::move(f));
  if (!rows) co_return failure(rows.error().log.text);
  json::array list;
  for (const ledger_row& r : *rows) list.emplace_back(shown(r, *all));
  co_return json::object{
      {"ok", true}, {"currency", json::string(in.prices.currency())}, {"rows", std::move(list)}};
}

awaitable<json::object> show_usage(admin_context in, json::object o) {
  const auto all = co_await read_customers(in.tasks);
  if (!all) co_return failure(all.error().log.text);
  const auto query = query_of(o, *all);
  if (!query) co_return failure(query.error().log.text);
  const auto rows = co_await from_store(in.tasks, &store::usage, *query);
  if (!rows) co_return failure(rows.error().log.text);
  const report_names names{[&all](std::int64_t id) {
                             const account* found = all->find(id);
                             return found == nullptr ? std::string("?") : found->name;
                           },
                           [&all](std::int64_t id) {
                             const auto found = std::ranges::find(all->tokens, id, &token::id);
                             return found == all->tokens.end() ? std::string("?") : all->name_of(*found);
                           }};
  json::object out{{"ok", true},
                   {"since", json::string(day_text(query->since))},
                   {"until", json::string(day_text(query->until))},
                   {"currency", json::string(in.prices.currency())}};
  if (text_of(o, "format") == "csv")
    out["csv"] = json::string(usage_as_csv(*rows, query->by, names, report_for::operators));
  else
    out["rows"] = usage_as_json(*rows, query->by, names, report_for::operators);
  co_return out;
}

}  // namespace relay
