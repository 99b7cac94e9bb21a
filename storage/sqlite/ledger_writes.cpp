// Money and counts, in the transactions of what causes them.

#include "storage/sqlite/columns.hpp"
#include "storage/sqlite/write_of.hpp"

namespace relay::sqlite {
namespace {

// What an account has after this row. Nobody else writes meanwhile: there is one connection that does.
result<account_balance> balance_after(write_statements& s, const ledger_entry& e) {
  const use guard(s.find_balance);
  s.find_balance.bind(1, e.account);
  const auto row = s.find_balance.step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(errc::task_not_found, "there is no account " + std::to_string(e.account));
  const account_balance has{{s.find_balance.integer(0)}, {s.find_balance.integer(1)}};
  const bool prepaid = s.find_balance.integer(2) != 0;
  if (e.must_be_covered && prepaid && has.left() < e.held)
    return fail(errc::insufficient_credits, "Insufficient credits");
  return account_balance{has.balance + e.amount, has.held + e.held};
}

result<ledger_row> write_entry(write_statements& s, const ledger_entry& e) {
  const auto after = balance_after(s, e);
  if (!after) return std::unexpected(after.error());
  ledger_row out{0, e, *after};
  {
    const use guard(s.set_balance);
    s.set_balance.bind(1, e.account).bind(2, after->balance.millionths).bind(3, after->held.millionths);
    if (auto done = run(s.set_balance); !done) return std::unexpected(std::move(done.error()));
  }
  const use guard(s.insert_ledger);
  s.insert_ledger.bind(1, e.account)
      .bind(2, name_of(e.kind))
      .bind(3, e.amount.millionths)
      .bind(4, e.held.millionths)
      .bind(5, e.cost.millionths)
      .bind(6, out.after.balance.millionths)
      .bind(7, out.after.held.millionths)
      .bind(8, e.task_id)
      .bind(9, e.token)
      .bind(10, e.upstream)
      .bind(11, e.upstream_id)
      .bind(12, e.request_id)
      .bind(13, e.note)
      .bind(14, e.made_by)
      .bind(15, to_column(e.at));
  if (auto done = run(s.insert_ledger); !done) {
    // No other change made it so: to try again with a newer revision would be in vain.
    if (done.error().code == errc::conflict) {
      done.error().code = errc::internal;
      done.error().log.text = "the ledger has a " + std::string(name_of(e.kind)) + " for job " + e.task_id +
                              " already, and nothing was written: " + done.error().log.text;
    }
    return std::unexpected(std::move(done.error()));
  }
  out.id = s.connection.last_row();
  return out;
}

void bind_key(statement& s, const usage_entry& u) {
  s.bind(1, u.account)
      .bind(2, std::int64_t{u.day})
      .bind(3, u.token)
      .bind(4, u.action)
      .bind(5, u.model)
      .bind(6, u.upstream)
      .bind(7, name_of(u.outcome));
}

result<void> write_usage(write_statements& s, const usage_entry& u) {
  {
    statement& to = u.jobs > 0 ? s.add_usage : s.take_usage;
    const use guard(to);
    bind_key(to, u);
    to.bind(8, u.jobs)
        .bind(9, u.amount.millionths)
        .bind(10, u.cost.millionths)
        .bind(11, u.wait.count())
        .bind(12, u.run.count());
    if (auto done = run(to); !done) return done;
  }
  if (u.jobs > 0) return {};
  // What was taken back to nothing is not shown.
  const use guard(s.drop_usage);
  bind_key(s.drop_usage, u);
  return run(s.drop_usage);
}

class ledger_write final : public write_of<ledger_row> {
 public:
  ledger_write(write_statements& s, ledger_entry e, completion<ledger_row> done)
      : write_of(s, {}, std::move(done)), entry_(std::move(e)) {}
  result<void> apply() override {
    auto row = write_entry(s_, entry_);
    if (!row) return std::unexpected(std::move(row.error()));
    value_ = std::move(*row);
    return {};
  }

 private:
  const ledger_entry entry_;
};

}  // namespace

result<void> write_booking(write_statements& s, const booking& b) {
  if (b.ledger) {
    if (const auto row = write_entry(s, *b.ledger); !row) return std::unexpected(row.error());
  }
  for (const usage_entry& u : b.usage) {
    if (auto done = write_usage(s, u); !done) return done;
  }
  return {};
}

std::unique_ptr<write> write_ledger_row(write_statements& s, ledger_entry e, completion<ledger_row> done) {
  return std::make_unique<ledger_write>(s, std::move(e), std::move(done));
}

}  // namespace relay::sqlite
