// The operations about balances, the ledger and usage.

#include <algorithm>

#include "common/base/id.hpp"
#include "server/admin/customers.hpp"
#include "server/admin/handlers.hpp"
#include "server/admin/shapes.hpp"
#include "server/await_store.hpp"
#include "server/billing.hpp"
#include "server/clock.hpp"
#include "server/usage_report.hpp"

namespace relay::admin {
namespace {

constexpr std::int32_t usual_days = 30;

json::string text(money m) {
  return json::string(to_text(m));
}

json::object line_of(const ledger_row& r, const customers& all) {
  const ledger_entry& e = r.entry;
  const account* of = all.find(e.account);
  const token* with = all.find_token(e.token);
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
          {"token", json::string(with == nullptr ? "" : with->name)},
          {"upstream", json::string(e.upstream)},
          {"upstream_id", json::string(e.upstream_id)},
          {"request_id", json::string(e.request_id)},
          {"note", json::string(e.note)},
          {"made_by", json::string(e.made_by)}};
}

awaitable<admin_result> change_balance(admin_call& c, ledger_kind kind) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const auto of = co_await account_of(c);
  if (!of) co_return std::unexpected(of.error());
  const auto amount = parse_money(c.text("amount"));
  if (!amount) co_return fail(errc::invalid_request, "amount: " + amount.error().log.text);
  if (kind == ledger_kind::topup && *amount <= money{})
    co_return fail(errc::invalid_request,
                   "amount: it must be above 0 to be put in; to take something back, use adjust");
  if (*amount == money{}) co_return fail(errc::invalid_request, "amount: an adjustment of 0 changes nothing");
  ledger_entry e;
  e.kind = kind;
  e.account = of->id;
  e.amount = *amount;
  e.note = c.text("note");
  e.made_by = c.by.name;
  e.request_id = c.request_id;
  e.at = now();
  const json::object what{{"amount", text(e.amount)}, {"note", json::string(e.note)}};
  const auto why = c.audit("account/" + of->name, {}, what);
  const auto row = co_await from_store(c.in.tasks, &store::book, std::move(e), why);
  if (!row) co_return std::unexpected(row.error());
  c.in.booked(row->entry);
  admin_response out{line_of(*row, *all)};
  out.body["left"] = text(row->after.left());
  out.body["currency"] = json::string(c.in.prices.currency());
  co_return out;
}

result<usage_query> query_of(const admin_call& c, const customers& all) {
  const auto day = [&c](std::string_view key, std::int32_t otherwise) {
    const std::string said = c.text(key);
    return said.empty() ? otherwise : parse_day(said).value_or(otherwise);  // it was checked
  };
  usage_query out;
  out.until = day("until", day_of(now()));
  out.since = day("since", out.until - usual_days + 1);
  if (out.since > out.until) return fail(errc::invalid_request, "since: it must not be after until");
  const auto of = whose_of(c.text("account"), {}, all);
  if (!of) return std::unexpected(of.error());
  out.account = of->account;
  const std::string words = c.text("by");
  auto by = parse_usage_by(words.empty() ? "account,day" : words, all_usage_by);
  if (!by) return fail(errc::invalid_request, "by: " + by.error().log.text);
  out.by = std::move(*by);
  return out;
}

}  // namespace

awaitable<admin_result> top_up_account(admin_call& c) {
  co_return co_await change_balance(c, ledger_kind::topup);
}

awaitable<admin_result> adjust_account(admin_call& c) {
  co_return co_await change_balance(c, ledger_kind::adjust);
}

awaitable<admin_result> list_ledger(admin_call& c) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const auto of = whose_of(c.text("account"), {}, *all);
  if (!of) co_return std::unexpected(of.error());
  ledger_filter f;
  f.account = of->account;
  f.task_id = normalise_id(c.text("job"));
  f.before = c.number("cursor", 0);
  f.limit = c.number("limit", shapes::default_items);
  const auto rows = co_await from_store(c.in.tasks, &store::ledger, f);
  if (!rows) co_return std::unexpected(rows.error());
  json::array items;
  for (const ledger_row& r : *rows) items.emplace_back(line_of(r, *all));
  const bool may_have_more = std::ssize(*rows) == f.limit;
  json::value next = may_have_more ? json::value(json::string(std::to_string(rows->back().id))) : nullptr;
  co_return admin_response{{{"items", std::move(items)},
                            {"next", std::move(next)},
                            {"currency", json::string(c.in.prices.currency())}}};
}

awaitable<admin_result> get_usage(admin_call& c) {
  const auto all = co_await read_customers(c.in.tasks);
  if (!all) co_return std::unexpected(all.error());
  const auto query = query_of(c, *all);
  if (!query) co_return std::unexpected(query.error());
  const auto rows = co_await from_store(c.in.tasks, &store::usage, *query);
  if (!rows) co_return std::unexpected(rows.error());
  const report_names names{[&all](std::int64_t id) {
                             const account* found = all->find(id);
                             return found == nullptr ? std::string("?") : found->name;
                           },
                           [&all](std::int64_t id) {
                             const token* found = all->find_token(id);
                             return found == nullptr ? std::string("?") : all->name_of(*found);
                           }};
  admin_response out;
  if (c.text("format") == "csv") {
    out.is_other = true;
    out.other.content_type = "text/csv; charset=utf-8";
    out.other.body = usage_as_csv(*rows, query->by, names, report_for::operators);
  } else {
    out.body = {{"since", json::string(day_text(query->since))},
                {"until", json::string(day_text(query->until))},
                {"currency", json::string(c.in.prices.currency())},
                {"rows", usage_as_json(*rows, query->by, names, report_for::operators)}};
  }
  co_return out;
}

}  // namespace relay::admin
