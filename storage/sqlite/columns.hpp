#pragma once

// Tasks, accounts and tokens as rows. One table knows every column of `task`: its name, how it is bound and
// how it is read; every statement is made from it.

#include <functional>
#include <string>
#include <string_view>

#include "common/engine/account.hpp"
#include "common/engine/audit.hpp"
#include "common/engine/family.hpp"
#include "common/engine/task.hpp"
#include "common/engine/token.hpp"
#include "storage/sqlite/db.hpp"

namespace relay::sqlite {

/// `SELECT <all columns> FROM task <rest>`
std::string select_tasks(std::string_view rest);
/// A set of columns of the task table.
using column_set = std::uint64_t;

/// Those of a new task whose values differ from each other new task's, or from nothing.
column_set columns_of_insert(const task& t);
/// Those that can change after the insert, and differ.
column_set columns_of_update(const task& before, const task& after);

/// Inserts a task with these columns, all others empty; revision 1.
std::string insert_task_sql(column_set columns);
/// Writes these columns, if the row is still the task's and at its revision; stores the next one.
std::string update_task_sql(column_set columns);

/// For a statement with these columns. The task must outlive the step.
void bind_insert(statement& s, column_set columns, const task& t);
void bind_update(statement& s, column_set columns, const task& t);

/// Where a column of select_tasks() stands in its rows. Throws std::logic_error when there is none of that
/// name.
int column_index(std::string_view name);

/// A row of select_tasks(). Errors: internal when it holds a name that this program does not know,
/// which the log text names: such a row was written by another version.
result<task> read_task(const statement& s, const catalogue& names);

/// Of own_limits, in the order of limit_names.
inline constexpr std::string_view limit_columns =
    "pending_limit,open_limit,creates_per_minute,requests_per_minute,batch_limit";
/// A list of words, as one column holds it.
std::string words_in_column(const std::vector<std::string>& words);

/// `SELECT <all columns> FROM account <rest>`
std::string select_accounts(std::string_view rest);
account read_account(const statement& s);

/// `SELECT <all columns> FROM token <rest>`
std::string select_tokens(std::string_view rest);
token read_token(const statement& s);

inline std::int64_t to_column(timestamp t) {
  return t.time_since_epoch().count();
}
inline timestamp from_column(std::int64_t v) {
  return timestamp(timestamp::duration(v));
}

/// The same of an admin token.
std::string select_admin_tokens(std::string_view rest);
admin_token read_admin_token(const statement& row);

}  // namespace relay::sqlite
