// An operator's searches in the task table.

#include "storage/sqlite/reads.hpp"

namespace relay::sqlite {

void reads::prepare_searches() {
  const auto prepare = [this](const std::string& sql) { return connection_.prepare(sql.c_str()); };
  // The second part reads the whole table: an upstream's ids have no index.
  search_ =
      prepare(select_tasks("WHERE id IN (SELECT id FROM task WHERE task_id>=?1 AND task_id<?2 UNION "
                           "SELECT id FROM task WHERE upstream_id=?1) LIMIT ?3"));
}

std::string browse_sql(const task_filter& filter,
                       std::vector<std::variant<std::int64_t, std::string>>& values) {
  // Those that have an index of their own, with few rows in it, are not walked through by their number.
  const bool has_index = filter.ambiguous || filter.held;
  std::string where = filter.oldest_first ? "id>?1" : "id<?1";
  where = (has_index ? "WHERE +" : "WHERE ") + where;
  values = {filter.oldest_first ? filter.after : filter.before, filter.limit + 1};
  const auto also = [&](std::string_view condition, std::variant<std::int64_t, std::string> value) {
    values.push_back(std::move(value));
    const std::string number = "?" + std::to_string(values.size());
    where += " AND ";
    for (const char c : condition) where += c == '?' ? number : std::string(1, c);
  };
  if (filter.state) {
    also("status=?", std::string(name_of(*filter.state)));
    // Those that have not ended are found by their index.
    if (!is_terminal(*filter.state)) where += " AND finish_time=0";
  }
  if (filter.ambiguous) where += " AND next_reconcile_at>0 AND +status='submitting'";
  if (filter.held) where += " AND held_at>0";
  if (filter.undelivered) where += " AND callback_problem<>''";
  if (filter.owner) also("owner=?", *filter.owner);
  // A job without the number of its token was created before tokens belonged to accounts, and each was one
  // with the same number.
  if (filter.token) also("(token=? OR token=0 AND owner=?)", *filter.token);
  if (!filter.upstream.empty()) also("upstream=?", filter.upstream);
  if (!filter.action.empty()) also("action=?", filter.action);
  if (is_set(filter.since)) also("created_at>=?", to_column(filter.since));
  if (is_set(filter.until)) also("created_at<?", to_column(filter.until));
  // Ids are ASCII: what begins so stands before this end.
  if (!filter.text.empty())
    also("(task_id>=? AND task_id<?||char(127) OR instr(upstream_id,?)>0)", filter.text);
  // All that are held are held since the same restore: this is the order of their index.
  if (filter.held && filter.oldest_first) return where + " ORDER BY held_at,id LIMIT ?2";
  return where.append(has_index ? " ORDER BY +id" : " ORDER BY id")
      .append(filter.oldest_first ? " LIMIT ?2" : " DESC LIMIT ?2");
}

// An operator's searches: the only ones that may read the whole table. Each has a statement of its own, with
// what it asks for and no more.
result<found_tasks> reads::browse(const task_filter& filter) {
  std::vector<std::variant<std::int64_t, std::string>> values;
  statement s = connection_.prepare(select_tasks(browse_sql(filter, values)).c_str());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int place = static_cast<int>(i) + 1;
    if (const auto* number = std::get_if<std::int64_t>(&values[i]))
      s.bind(place, *number);
    else
      s.bind(place, std::string_view(std::get<std::string>(values[i])));
  }
  found_tasks out;
  std::size_t bytes = 0;
  for (std::int64_t rows = 0;; ++rows) {
    const auto row = s.step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return out;
    out.has_more = rows == filter.limit || bytes > filter.max_bytes;
    if (out.has_more) return out;
    out.last_row = s.integer(0);
    if (task_ptr t = readable_task(s)) {
      bytes += memory_of(*t);
      out.tasks.push_back(std::move(t));
    }
  }
}

result<std::vector<task_ptr>> reads::search(const std::string& text, std::int64_t limit) {
  if (text.empty()) return std::vector<task_ptr>{};
  const use guard(search_);
  // Behind all texts that begin so: ids are ASCII.
  const std::string end = text + "\x7f";
  search_.bind(1, text).bind(2, end).bind(3, limit);
  return readable_tasks(search_);
}

}  // namespace relay::sqlite
