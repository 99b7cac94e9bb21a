#include "storage/sqlite/columns.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "common/engine/callbacks.hpp"

namespace relay::sqlite {
namespace {

// A row being read.
struct reading {
  task& into;
  const catalogue& names;
  std::string platform;
  std::string unknown;  // the first name that is not known
};

struct column {
  const char* name;
  bool changes;  // false: written once, at the insert
  void (*bind)(statement& s, int index, const task& t);
  void (*read)(reading& r, const statement& s, int index);  // null: it is not read
  bool (*same)(const task& a, const task& b);
  const char* empty;  // SQL of what stands in it when it is not bound; null: it always is
};

void note_unknown(reading& r, const char* what, std::string_view name) {
  if (r.unknown.empty()) r.unknown = std::string(what) + " \"" + std::string(name) + "\"";
}

void bind_value(statement& s, int i, const std::string& v) {
  s.bind(i, std::string_view(v));
}
void bind_value(statement& s, int i, timestamp v) {
  s.bind(i, to_column(v));
}
void bind_value(statement& s, int i, std::int64_t v) {
  s.bind(i, v);
}
void bind_value(statement& s, int i, money v) {
  s.bind(i, v.millionths);
}

void read_value(std::string& into, const statement& s, int i) {
  into = s.text(i);
}
void read_value(timestamp& into, const statement& s, int i) {
  into = from_column(s.integer(i));
}
void read_value(std::int64_t& into, const statement& s, int i) {
  into = s.integer(i);
}
void read_value(money& into, const statement& s, int i) {
  into = {s.integer(i)};
}
void read_value(int& into, const statement& s, int i) {
  into = static_cast<int>(s.integer(i));
}
void read_value(bool& into, const statement& s, int i) {
  into = s.integer(i) != 0;
}

// A column that is a member of the task.
template <auto Member>
constexpr column of(const char* name, bool changes, const char* empty) {
  return {name,
          changes,
          [](statement& s, int i, const task& t) { bind_value(s, i, t.*Member); },
          [](reading& r, const statement& s, int i) { read_value(r.into.*Member, s, i); },
          [](const task& a, const task& b) { return a.*Member == b.*Member; },
          empty};
}

// What SQL says for a member that is as in a task of nothing.
template <auto Member>
consteval const char* empty_of() {
  using value = std::remove_cvref_t<decltype(std::declval<task>().*Member)>;
  return std::is_same_v<value, std::string> ? "''" : "0";
}

template <auto Member>
constexpr column fixed(const char* name) {
  return of<Member>(name, false, empty_of<Member>());
}
template <auto Member>
constexpr column changing(const char* name) {
  return of<Member>(name, true, empty_of<Member>());
}

bool always(const task&, const task&) {
  return true;
}

void bind_platform(statement& s, int i, const task& t) {
  s.bind(i, t.action->platform);
}
void read_platform(reading& r, const statement& s, int i) {
  r.platform = s.text(i);
}
void bind_action(statement& s, int i, const task& t) {
  s.bind(i, t.action->name);
}
void read_action(reading& r, const statement& s, int i) {
  r.into.action = r.names.find_action(r.platform, s.text(i));
  if (r.into.action == nullptr) note_unknown(r, "action", s.text(i));
}
void bind_dialect(statement& s, int i, const task& t) {
  s.bind(i, t.dialect->name);
}
void read_dialect(reading& r, const statement& s, int i) {
  r.into.dialect = r.names.find_dialect(s.text(i));
  if (r.into.dialect == nullptr) note_unknown(r, "dialect", s.text(i));
}
void bind_state(statement& s, int i, const task& t) {
  s.bind(i, name_of(t.state));
}
void read_state(reading& r, const statement& s, int i) {
  if (const auto state = task_state_from(s.text(i)))
    r.into.state = *state;
  else
    note_unknown(r, "status", s.text(i));
}
void bind_pending_callbacks(statement& s, int i, const task& t) {
  s.bind(i, t.pending_callbacks);
}
void read_pending_callbacks(reading& r, const statement& s, int i) {
  r.into.pending_callbacks = s.text(i);
  if (!valid_pending_callbacks(r.into.pending_callbacks))
    note_unknown(r, "pending_callbacks", r.into.pending_callbacks);
}
void bind_created(statement& s, int i, const task& t) {
  s.bind(i, to_column(t.created_at));
}

// The platform stands before the action, which is looked up in it.
constexpr column columns[] = {
    fixed<&task::id>("task_id"),
    fixed<&task::owner>("owner"),
    fixed<&task::token>("token"),
    {"dialect", false, bind_dialect, read_dialect, always, nullptr},
    {"platform", false, bind_platform, read_platform, always, nullptr},
    {"action", false, bind_action, read_action, always, nullptr},
    // Of older schemas; dropping it would rewrite the table.
    {"envelope_action", false, nullptr, nullptr, always, "''"},
    fixed<&task::request>("request"),
    fixed<&task::callback_url>("callback_url"),
    fixed<&task::pinned>("pinned"),
    fixed<&task::price>("price"),
    fixed<&task::traceparent>("traceparent"),
    {"submit_time", false, bind_created, nullptr, always, nullptr},  // the same
    fixed<&task::created_at>("created_at"),
    {"status", true, bind_state, read_state, [](const task& a, const task& b) { return a.state == b.state; },
     nullptr},
    of<&task::progress>("progress", true, "-1"),
    changing<&task::upstream>("upstream"),
    changing<&task::marker>("marker"),
    changing<&task::upstream_id>("upstream_id"),
    changing<&task::reply>("data"),
    changing<&task::fail_reason>("fail_reason"),
    changing<&task::fail_status>("fail_status"),
    changing<&task::attempts>("attempts"),
    changing<&task::attempt_id>("attempt_id"),
    changing<&task::submitter>("submitter"),
    changing<&task::misses>("misses"),
    changing<&task::not_found>("not_found"),
    {"pending_callbacks", true, bind_pending_callbacks, read_pending_callbacks,
     [](const task& a, const task& b) { return a.pending_callbacks == b.pending_callbacks; }, "''"},
    changing<&task::callbacks_done>("callbacks_done"),
    changing<&task::callback_attempts>("callback_attempts"),
    changing<&task::callback_stopped>("callback_stopped"),
    changing<&task::callback_problem>("callback_problem"),
    changing<&task::story>("story"),
    changing<&task::next_submit_at>("next_submit_at"),
    changing<&task::next_poll_at>("next_poll_at"),
    changing<&task::next_reconcile_at>("next_reconcile_at"),
    changing<&task::next_callback_at>("next_callback_at"),
    changing<&task::next_remove_at>("next_remove_at"),
    changing<&task::deadline>("deadline"),
    changing<&task::attempted_at>("attempted_at"),
    changing<&task::ambiguous_at>("ambiguous_at"),
    changing<&task::absent_at>("absent_at"),
    changing<&task::not_found_at>("not_found_at"),
    changing<&task::deleted_at>("deleted_at"),
    changing<&task::held_at>("held_at"),
    changing<&task::cancelled_at>("cancelled_at"),
    changing<&task::started_at>("start_time"),
    changing<&task::finished_at>("finish_time"),
    changing<&task::links_until>("links_until"),
    changing<&task::links_lost_at>("links_lost_at"),
    changing<&task::updated_at>("updated_at"),
    changing<&task::revision>("revision"),
};

static_assert(std::size(columns) <= 8 * sizeof(column_set));

constexpr column_set bit(std::size_t index) {
  return column_set{1} << index;
}
constexpr std::size_t revision_column = std::size(columns) - 1;  // told by each statement itself

template <class Function>
void for_each(column_set set, Function f) {
  for (; set != 0; set &= set - 1) f(columns[static_cast<std::size_t>(std::countr_zero(set))]);
}

std::string number(std::int64_t n) {
  return "?" + std::to_string(n);
}

}  // namespace

std::string select_tasks(std::string_view rest) {
  std::string sql = "SELECT id";
  for (const column& c : columns) sql.append(",").append(c.name);
  return sql.append(" FROM task ").append(rest);
}

int column_index(std::string_view name) {
  const auto at = std::ranges::find(columns, name, &column::name);
  if (at == std::end(columns)) throw std::logic_error("the task table has no column " + std::string(name));
  return static_cast<int>(at - std::begin(columns)) + 1;  // after the row's number
}

column_set columns_of_insert(const task& t) {
  static const task nothing;
  column_set out = 0;
  for (std::size_t i = 0; i < revision_column; ++i) {
    const column& c = columns[i];
    if (c.empty == nullptr || !c.same(t, nothing)) out |= bit(i);
  }
  return out;
}

column_set columns_of_update(const task& before, const task& after) {
  column_set out = 0;
  for (std::size_t i = 0; i < revision_column; ++i) {
    const column& c = columns[i];
    if (c.changes && !c.same(before, after)) out |= bit(i);
  }
  return out;
}

std::string insert_task_sql(column_set set) {
  std::string names = "INSERT INTO task(id";
  std::string values = ") VALUES(NULL";
  std::int64_t parameter = 0;
  for (std::size_t i = 0; i < revision_column; ++i) {
    names.append(",").append(columns[i].name);
    values.append(",").append((set & bit(i)) != 0 ? number(++parameter) : columns[i].empty);
  }
  return names + ",revision" + values + ",1)";
}

void bind_insert(statement& s, column_set set, const task& t) {
  int parameter = 0;
  for_each(set, [&](const column& c) { c.bind(s, ++parameter, t); });
}

// The row's number finds it; a number that another task has got since belongs to another id.
std::string update_task_sql(column_set set) {
  std::string sql = "UPDATE task SET revision=revision+1";
  std::int64_t parameter = 0;
  for_each(set,
           [&](const column& c) { sql.append(",").append(c.name).append("=").append(number(++parameter)); });
  return sql + " WHERE id=" + number(parameter + 1) + " AND revision=" + number(parameter + 2) +
         " AND task_id=" + number(parameter + 3);
}

void bind_update(statement& s, column_set set, const task& t) {
  int parameter = 0;
  for_each(set, [&](const column& c) { c.bind(s, ++parameter, t); });
  s.bind(parameter + 1, t.row).bind(parameter + 2, t.revision).bind(parameter + 3, std::string_view(t.id));
}

result<task> read_task(const statement& s, const catalogue& names) {
  task t;
  reading r{t, names, {}, {}};
  t.row = s.integer(0);
  for (int i = 1; const column& c : columns) {
    if (c.read != nullptr) c.read(r, s, i);
    ++i;
  }
  if (r.unknown.empty()) return t;
  error e;
  e.code = errc::internal;
  e.message.text =
      "This generation was recorded by another version of the relay, and this one cannot read it";
  e.log.text = "task " + t.id + " has the " + r.unknown +
               ", which this program does not know: it was written by another luma-relay, use that one";
  return std::unexpected(std::move(e));
}

namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t space = text.find(' ');
    if (space != 0) out.emplace_back(text.substr(0, space));
    text.remove_prefix(space == text.npos ? text.size() : space + 1);
  }
  return out;
}

own_limits read_limits(const statement& s, int first) {
  own_limits out;
  for (const limit_name& l : limit_names) out.*l.of = s.integer_if_any(first++);
  return out;
}

}  // namespace

std::string words_in_column(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& w : words) out.append(out.empty() ? "" : " ").append(w);
  return out;
}

std::string select_accounts(std::string_view rest) {
  return std::string(
             "SELECT id,name,note,contact,enabled,webhook_secret,created_at,revision,weight,actions,"
             "prepaid,price_group,models,")
      .append(limit_columns)
      .append(" FROM account ")
      .append(rest);
}

account read_account(const statement& s) {
  account a;
  a.id = s.integer(0);
  a.name = s.text(1);
  a.note = s.text(2);
  a.contact = s.text(3);
  a.enabled = s.integer(4) != 0;
  const auto webhook = s.blob(5);
  a.webhook = secret(std::string(webhook.begin(), webhook.end()));
  a.created_at = from_column(s.integer(6));
  a.revision = s.integer(7);
  a.weight = static_cast<int>(s.integer(8));
  a.actions = words_of(s.text(9));
  a.prepaid = s.integer(10) != 0;
  a.group = s.text(11);
  a.models = words_of(s.text(12));
  a.limits = read_limits(s, 13);
  return a;
}

std::string select_tokens(std::string_view rest) {
  return std::string(
             "SELECT id,account,name,digest,hint,created_at,expires_at,revoked_at,old_digest,old_ends_at,"
             "addresses,last_used,")
      .append(limit_columns)
      .append(" FROM token ")
      .append(rest);
}

token read_token(const statement& s) {
  token t;
  t.id = s.integer(0);
  t.account = s.integer(1);
  t.name = s.text(2);
  const auto digest = s.blob(3);
  if (digest.size() == t.digest.size()) std::ranges::copy(digest, t.digest.begin());
  t.hint = s.text(4);
  t.created_at = from_column(s.integer(5));
  t.expires_at = from_column(s.integer(6));
  t.revoked_at = from_column(s.integer(7));
  const auto old = s.blob(8);
  if (old.size() == t.old_digest.size()) std::ranges::copy(old, t.old_digest.begin());
  t.old_ends_at = from_column(s.integer(9));
  t.addresses = words_of(s.text(10));
  t.last_used = static_cast<std::int32_t>(s.integer(11));
  t.limits = read_limits(s, 12);
  return t;
}

std::string select_admin_tokens(std::string_view rest) {
  return std::string("SELECT id,name,role,digest,hint,created_at,expires_at,revoked_at FROM admin_token ")
      .append(rest);
}

admin_token read_admin_token(const statement& s) {
  admin_token t;
  t.id = s.integer(0);
  t.name = s.text(1);
  t.role = admin_role_from(s.text(2)).value_or(admin_role::viewer);  // the table has no other
  const auto digest = s.blob(3);
  if (digest.size() == t.digest.size()) std::ranges::copy(digest, t.digest.begin());
  t.hint = s.text(4);
  t.created_at = from_column(s.integer(5));
  t.expires_at = from_column(s.integer(6));
  t.revoked_at = from_column(s.integer(7));
  return t;
}

}  // namespace relay::sqlite
