#include "common/engine/callbacks.hpp"

#include <algorithm>

#include "common/base/url.hpp"

namespace relay {
namespace {

constexpr std::string_view missed_deadline = "The job did not end within the time allowed";

// 0: no callback for this state.
char letter_of(task_state s) {
  switch (s) {
    case task_state::running:
      return 'r';
    case task_state::completed:
      return 'c';
    case task_state::failed:
      return 'f';
    default:
      return 0;
  }
}

task_state state_of(char letter) {
  return letter == 'r' ? task_state::running : letter == 'c' ? task_state::completed : task_state::failed;
}

// The oldest is done with; the next is due at once.
void drop_oldest(task& t, timestamp now) {
  t.pending_callbacks.erase(0, 1);
  ++t.callbacks_done;
  t.callback_attempts = 0;
  t.next_callback_at = t.pending_callbacks.empty() ? never : now;
}

}  // namespace

bool valid_pending_callbacks(std::string_view letters) {
  return letters.find_first_not_of("rcf") == std::string_view::npos;
}

void add_callback(task& t, task_state before, timestamp now) {
  const char letter = letter_of(t.state);
  if (t.state == before || letter == 0 || t.callback_stopped || !is_web_url(t.callback_url)) return;
  if (t.callback_attempts > 0)
    drop_oldest(t, now);  // it was refused before: the newer one does not wait for it
  t.pending_callbacks += letter;
  if (!is_set(t.next_callback_at)) t.next_callback_at = now;
}

bool settle_callback(task& t, const event::delivered& e, timestamp now) {
  if (t.pending_callbacks.empty() || e.number != t.callbacks_done) return false;
  t.callback_problem.clear();
  drop_oldest(t, now);
  return true;
}

bool settle_callback(task& t, const event::delivery_failed& e, timestamp now, const policy& p,
                     double jitter) {
  if (t.pending_callbacks.empty() || e.number != t.callbacks_done) return false;
  t.callback_problem = e.problem;
  if (e.gone) {
    t.callback_stopped = true;
    t.callbacks_done += static_cast<int>(t.pending_callbacks.size());  // ids of messages are not used twice
    t.pending_callbacks.clear();
    t.callback_attempts = 0;
    t.next_callback_at = never;
    return true;
  }
  // Something newer waits behind it: the older one is not worth a retry.
  const auto tried = static_cast<std::size_t>(t.callback_attempts++);
  if (t.pending_callbacks.size() > 1 || tried >= p.callback_retries.size()) {
    drop_oldest(t, now);
    return true;
  }
  const auto planned = std::max(p.callback_retries[tried], e.retry_after);
  t.next_callback_at = now + milliseconds(static_cast<milliseconds::rep>(
                                 static_cast<double>(planned.count()) * (1.0 + 0.25 * jitter)));
  return true;
}

bool request_callback(task& t, timestamp now) {
  if (!is_web_url(t.callback_url) || is_set(t.deleted_at)) return false;
  const char last = letter_of(t.state);
  if (t.pending_callbacks.empty() && last == 0) return false;
  if (t.pending_callbacks.empty()) t.pending_callbacks = last;
  t.callback_stopped = false;
  t.callback_attempts = 0;
  t.next_callback_at = now;
  return true;
}

std::string message_id(const task& t) {
  return "msg_" + t.id + "_" + std::to_string(t.callbacks_done + 1);
}

task task_in_callback(const task& t) {
  task shown = t;
  if (t.pending_callbacks.empty()) return shown;
  const task_state state = state_of(t.pending_callbacks.front());
  shown.progress = -1;
  if (state == task_state::running) shown.reply.clear();
  if (t.state == state) return shown;
  shown.state = state;
  if (state != task_state::failed) {
    shown.fail_reason.clear();
    shown.finished_at = never;
  } else if (shown.fail_reason.empty()) {
    shown.fail_reason = missed_deadline;  // and then it completed after all
  }
  return shown;
}

}  // namespace relay
