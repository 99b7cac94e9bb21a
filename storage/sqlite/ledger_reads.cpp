// Reads of balances, of the ledger and of usage.

#include <algorithm>
#include <functional>
#include <limits>

#include "storage/sqlite/reads.hpp"
#include "storage/sqlite/rows.hpp"

namespace relay::sqlite {
namespace {

constexpr std::string_view ledger_columns =
    "SELECT id,account,kind,amount,held,cost,balance_after,held_after,task_id,token,upstream,upstream_id,"
    "request_id,note,made_by,created_at FROM ledger ";

ledger_row read_row(const statement& s) {
  ledger_row out;
  ledger_entry& e = out.entry;
  out.id = s.integer(0);
  e.account = s.integer(1);
  e.kind = ledger_kind_from(s.text(2)).value_or(ledger_kind::adjust);  // the table has no other
  e.amount = {s.integer(3)};
  e.held = {s.integer(4)};
  e.cost = {s.integer(5)};
  out.after = {{s.integer(6)}, {s.integer(7)}};
  e.task_id = s.text(8);
  e.token = s.integer(9);
  e.upstream = s.text(10);
  e.upstream_id = s.text(11);
  e.request_id = s.text(12);
  e.note = s.text(13);
  e.made_by = s.text(14);
  e.at = from_column(s.integer(15));
  return out;
}

// A column of the usage table, by which it is told apart.
struct dimension {
  usage_by by;
  const char* column;
  void (*read)(usage_entry& into, const statement& s, int column);
};
constexpr dimension dimensions[] = {
    {usage_by::day, "day",
     [](usage_entry& u, const statement& s, int i) { u.day = static_cast<std::int32_t>(s.integer(i)); }},
    {usage_by::account, "account",
     [](usage_entry& u, const statement& s, int i) { u.account = s.integer(i); }},
    {usage_by::token, "token", [](usage_entry& u, const statement& s, int i) { u.token = s.integer(i); }},
    {usage_by::action, "action", [](usage_entry& u, const statement& s, int i) { u.action = s.text(i); }},
    {usage_by::model, "model", [](usage_entry& u, const statement& s, int i) { u.model = s.text(i); }},
    {usage_by::upstream, "upstream",
     [](usage_entry& u, const statement& s, int i) { u.upstream = s.text(i); }},
    {usage_by::outcome, "outcome",
     [](usage_entry& u, const statement& s, int i) {
       for (const job_outcome o : all_job_outcomes) {
         if (name_of(o) == s.text(i)) u.outcome = o;
       }
     }},
};

const dimension& dimension_of(usage_by by) {
  return *std::ranges::find(dimensions, by, &dimension::by);
}

}  // namespace

void reads::prepare_ledger() {
  const auto prepare = [this](std::string_view rest) {
    return connection_.prepare(std::string(ledger_columns).append(rest).c_str());
  };
  balance_ = connection_.prepare("SELECT balance,held FROM account WHERE id=?1");
  ledger_ = prepare("WHERE id<?1 ORDER BY id DESC LIMIT ?2");
  ledger_of_account_ = prepare("WHERE id<?1 AND account=?3 ORDER BY id DESC LIMIT ?2");
  ledger_of_job_ = prepare("WHERE id<?1 AND task_id=?3 AND task_id<>'' AND (?4=0 OR account=?4) LIMIT ?2");
}

result<account_balance> reads::balance(std::int64_t account) {
  const use guard(balance_);
  balance_.bind(1, account);
  const auto found = first_row(
      balance_, [](const statement& row) { return account_balance{{row.integer(0)}, {row.integer(1)}}; });
  if (!found) return std::unexpected(found.error());
  return found->value_or(account_balance{});
}

result<std::vector<ledger_row>> reads::ledger(const ledger_filter& f) {
  statement& s = !f.task_id.empty() ? ledger_of_job_ : f.account ? ledger_of_account_ : ledger_;
  const use guard(s);
  s.bind(1, f.before > 0 ? f.before : std::numeric_limits<std::int64_t>::max()).bind(2, f.limit);
  if (!f.task_id.empty())
    s.bind(3, f.task_id).bind(4, f.account.value_or(0));
  else if (f.account)
    s.bind(3, *f.account);
  auto out = all_rows(s, read_row);
  // The few of a job come in the order of their index.
  if (out) std::ranges::sort(*out, std::greater{}, &ledger_row::id);
  return out;
}

result<std::vector<usage_entry>> reads::usage(const usage_query& q) {
  std::string columns;
  for (const usage_by by : q.by) columns.append(dimension_of(by).column).append(",");
  std::string sql = "SELECT " + columns +
                    "sum(jobs),sum(amount),sum(cost),sum(wait_ms),sum(run_ms) FROM usage WHERE " +
                    (q.account ? "account=?3 AND " : "") + "day BETWEEN ?1 AND ?2";
  if (!columns.empty()) {
    columns.pop_back();
    sql += " GROUP BY " + columns + " ORDER BY " + columns;
  }
  statement s = connection_.prepare((sql + " LIMIT ?4").c_str());
  s.bind(1, std::int64_t{q.since}).bind(2, std::int64_t{q.until}).bind(4, q.limit + 1);
  if (q.account) s.bind(3, *q.account);
  std::vector<usage_entry> out;
  for (;;) {
    auto row = s.step();
    if (!row) return std::unexpected(std::move(row.error()));
    if (!*row) break;
    if (std::ssize(out) == q.limit)
      return fail(errc::invalid_request, "this has more than " + std::to_string(q.limit) +
                                             " rows; ask for fewer days, or tell apart by less");
    usage_entry& u = out.emplace_back();
    int column = 0;
    for (const usage_by by : q.by) dimension_of(by).read(u, s, column++);
    u.jobs = s.integer(column++);
    u.amount = {s.integer(column++)};
    u.cost = {s.integer(column++)};
    u.wait = milliseconds(s.integer(column++));
    u.run = milliseconds(s.integer(column));
  }
  // Without groups SQL has a row for nothing too.
  if (q.by.empty() && !out.empty() && out.front().jobs == 0) out.clear();
  return out;
}

}  // namespace relay::sqlite
