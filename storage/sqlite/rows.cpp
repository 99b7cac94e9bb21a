#include "storage/sqlite/rows.hpp"

#include <algorithm>

namespace relay::sqlite {

namespace {

constexpr int first_change = 12;

}  // namespace

void bind_task(statement& s, const task& t) {
  int i = 0;
  const auto next = [&i] { return ++i; };
  s.bind(next(), t.id);
  s.bind(next(), t.owner);
  s.bind(next(), name_of(t.dialect));
  s.bind(next(), info(t.asked_at).name);
  s.bind(next(), t.platform);
  s.bind(next(), info(t.asked_at).action);
  s.bind(next(), t.request);
  s.bind(next(), t.callback_url);
  s.bind(next(), std::int64_t{t.pinned});
  s.bind(next(), to_column(t.created_at));  // submit_time
  s.bind(next(), to_column(t.created_at));
  bind_changes(s, t);
}

void bind_changes(statement& s, const task& t) {
  int i = first_change - 1;
  const auto next = [&i] { return ++i; };
  s.bind(1, t.id);
  s.bind(next(), name_of(t.state));
  s.bind(next(), std::int64_t{t.progress});
  s.bind(next(), t.upstream);
  s.bind(next(), t.marker);
  s.bind(next(), t.upstream_id);
  s.bind(next(), t.reply);
  s.bind(next(), t.fail_reason);
  s.bind(next(), std::int64_t{t.fail_status});
  s.bind(next(), std::int64_t{t.attempts});
  s.bind(next(), std::int64_t{t.misses});
  s.bind(next(), std::int64_t{t.not_found});
  s.bind(next(), t.owed);
  s.bind(next(), std::int64_t{t.callbacks_done});
  s.bind(next(), std::int64_t{t.callback_attempts});
  s.bind(next(), std::int64_t{t.callback_stopped});
  s.bind(next(), t.callback_problem);
  s.bind(next(), to_column(t.next_submit_at));
  s.bind(next(), to_column(t.next_poll_at));
  s.bind(next(), to_column(t.next_reconcile_at));
  s.bind(next(), to_column(t.next_callback_at));
  s.bind(next(), to_column(t.deadline));
  s.bind(next(), to_column(t.attempted_at));
  s.bind(next(), to_column(t.ambiguous_at));
  s.bind(next(), to_column(t.started_at));
  s.bind(next(), to_column(t.finished_at));
  s.bind(next(), to_column(t.updated_at));
  s.bind(next(), t.revision);
}

task read_task(const statement& s) {
  int i = 0;
  const auto number = [&] { return s.integer(i++); };
  const auto small = [&] { return static_cast<int>(s.integer(i++)); };
  const auto text = [&] { return std::string(s.text(i++)); };
  const auto time = [&] { return from_column(s.integer(i++)); };
  task t;
  t.row = number();
  t.id = text();
  t.owner = number();
  t.dialect = dialect_from(s.text(i++)).value_or(dialect_id::dream_machine);
  t.asked_at = endpoint_from(s.text(i++)).value_or(endpoint::generations);
  t.platform = text();
  ++i;  // action: follows from the endpoint
  t.request = text();
  t.callback_url = text();
  t.pinned = number() != 0;
  ++i;  // submit_time: the same as created_at
  t.created_at = time();
  t.state = task_state_from(s.text(i++)).value_or(task_state::failed);
  t.progress = small();
  t.upstream = text();
  t.marker = text();
  t.upstream_id = text();
  t.reply = text();
  t.fail_reason = text();
  t.fail_status = small();
  t.attempts = small();
  t.misses = small();
  t.not_found = small();
  t.owed = text();
  t.callbacks_done = small();
  t.callback_attempts = small();
  t.callback_stopped = number() != 0;
  t.callback_problem = text();
  t.next_submit_at = time();
  t.next_poll_at = time();
  t.next_reconcile_at = time();
  t.next_callback_at = time();
  t.deadline = time();
  t.attempted_at = time();
  t.ambiguous_at = time();
  t.started_at = time();
  t.finished_at = time();
  t.updated_at = time();
  t.revision = number();
  return t;
}

token read_token(const statement& s) {
  token t;
  t.id = s.integer(0);
  t.name = s.text(1);
  const auto digest = s.blob(2);
  if (digest.size() == t.digest.size()) std::ranges::copy(digest, t.digest.begin());
  t.hint = s.text(3);
  t.created_at = from_column(s.integer(4));
  t.revoked_at = from_column(s.integer(5));
  const auto webhook = s.blob(6);
  t.webhook = secret(std::string(webhook.begin(), webhook.end()));
  return t;
}

}  // namespace relay::sqlite
