#pragma once

// What must hold of the money in a database, read from the file itself.

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "storage/sqlite/db.hpp"

namespace relay::test {

/// What is wrong, a line each; empty: nothing is. With `all_ended` no job is open, and nothing may be held.
inline std::string ledger_faults(const std::string& database, bool all_ended = true) {
  auto d = sqlite::db::open(database, sqlite::role::reader);
  if (!d) return "cannot be opened: " + d.error().log.text;
  std::string out;
  const auto none_may_be = [&](const char* what, const std::string& sql) {
    auto s = d->prepare(sql.c_str());
    for (int shown = 0; s.step().value_or(false) && shown < 5; ++shown)
      out += std::string(what) + ": " + std::string(s.text(0)) + "\n";
  };
  none_may_be("an account whose rows do not sum up to what it has",
              "SELECT name||' '||balance||' held '||held FROM account WHERE "
              "balance<>(SELECT coalesce(sum(amount),0) FROM ledger WHERE account=account.id) OR "
              "held<>(SELECT coalesce(sum(held),0) FROM ledger WHERE account=account.id)");
  none_may_be("a row that does not say what there is after it",
              "SELECT id FROM (SELECT id,balance_after,held_after,"
              "sum(amount) OVER (PARTITION BY account ORDER BY id) AS b,"
              "sum(held) OVER (PARTITION BY account ORDER BY id) AS h FROM ledger) "
              "WHERE balance_after<>b OR held_after<>h");
  // In the order of their writing: each end follows its hold.
  const std::string rows =
      "(SELECT group_concat(kind) FROM (SELECT kind FROM ledger WHERE task_id=task.task_id ORDER BY id))";
  none_may_be("a job whose rows are not those of its state",
              "SELECT task_id||' '||status||' '||coalesce(" + rows +
                  ",'nothing') FROM task WHERE price>0 AND NOT CASE status "
                  "WHEN 'completed' THEN coalesce(" +
                  rows +
                  ",'') IN ('hold,charge','hold,release,charge') "
                  "WHEN 'failed' THEN coalesce(" +
                  rows + ",'')='hold,release' ELSE coalesce(" + rows + ",'')='hold' END");
  none_may_be("rows of a job that costs nothing",
              "SELECT task_id FROM task WHERE price=0 AND EXISTS(SELECT 1 FROM ledger WHERE "
              "task_id=task.task_id)");
  none_may_be("amounts that are not the price",
              "SELECT l.id FROM ledger l JOIN task t ON t.task_id=l.task_id WHERE "
              "abs(l.amount) NOT IN (0,t.price) OR abs(l.held) NOT IN (0,t.price)");
  none_may_be("counts that are not those of the jobs",
              "SELECT status||' '||count(*) FROM task WHERE status IN ('completed','failed') GROUP BY status "
              "HAVING count(*)>(SELECT coalesce(sum(jobs),0) FROM usage WHERE outcome=status OR "
              "status='failed' AND outcome='refused')");
  none_may_be("what was charged and what was counted differ",
              "SELECT 'charged '||c||', counted '||u FROM (SELECT "
              "(SELECT coalesce(-sum(amount),0) FROM ledger WHERE kind='charge') AS c,"
              "(SELECT coalesce(sum(amount),0) FROM usage) AS u) WHERE c<>u");
  none_may_be("an account that pays in advance and has spent more than it had",
              "SELECT l.id FROM ledger l JOIN account a ON a.id=l.account WHERE a.prepaid AND l.kind='hold' "
              "AND l.balance_after<l.held_after");
  if (all_ended) none_may_be("something is held", "SELECT name||' '||held FROM account WHERE held<>0");
  return out;
}

}  // namespace relay::test
