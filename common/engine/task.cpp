#include "common/engine/task.hpp"

namespace relay {
namespace {

constexpr std::string_view state_names[] = {"pending", "submitting", "queued",
                                            "running", "completed",  "failed"};

}  // namespace

std::string_view name_of(task_state s) {
  return state_names[static_cast<std::size_t>(s)];
}

std::optional<task_state> task_state_from(std::string_view name) {
  for (const task_state s : all_states) {
    if (name_of(s) == name) return s;
  }
  return std::nullopt;
}

std::size_t memory_of(const task& t) {
  std::size_t bytes = sizeof(task);
  for (const std::string* text :
       {&t.id, &t.request, &t.callback_url, &t.traceparent, &t.marker, &t.upstream, &t.upstream_id, &t.reply,
        &t.fail_reason, &t.attempt_id, &t.submitter, &t.pending_callbacks, &t.callback_problem, &t.story}) {
    constexpr std::size_t inside = 15;  // short text needs no memory of its own
    if (text->capacity() > inside) bytes += text->capacity() + 1;
  }
  return bytes;
}

std::ostream& operator<<(std::ostream& out, const task& t) {
  out << "task " << t.id << " " << name_of(t.state) << " r" << t.revision << " owner=" << t.owner;
  if (t.action != nullptr) out << " action=" << t.action->name;
  if (!t.upstream.empty()) out << " upstream=" << t.upstream << "/" << t.upstream_id;
  out << " attempts=" << t.attempts << " misses=" << t.misses;
  if (t.price > money{}) out << " price=" << to_text(t.price);
  const auto show = [&out](const char* name, timestamp at) {
    if (is_set(at)) out << " " << name << "=" << to_iso(at, precision::milliseconds);
  };
  show("next_submit", t.next_submit_at);
  show("next_poll", t.next_poll_at);
  show("next_reconcile", t.next_reconcile_at);
  show("next_callback", t.next_callback_at);
  show("ambiguous", t.ambiguous_at);
  show("absent", t.absent_at);
  show("deadline", t.deadline);
  if (!t.pending_callbacks.empty())
    out << " pending_callbacks=" << t.pending_callbacks << " callback_attempts=" << t.callback_attempts;
  if (!t.fail_reason.empty()) out << " fail=\"" << t.fail_reason << "\" status=" << t.fail_status;
  return out;
}

}  // namespace relay
