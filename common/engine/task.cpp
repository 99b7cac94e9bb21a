#include "common/engine/task.hpp"

#include <iterator>

namespace relay {
namespace {

constexpr std::string_view state_names[] = {"pending",  "submitting", "queued",
                                            "dreaming", "completed",  "failed"};
constexpr std::string_view dialect_names[] = {"dream-machine", "luma"};

template <class E, std::size_t N>
std::optional<E> find(const std::string_view (&names)[N], std::string_view name) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == name) return static_cast<E>(i);
  }
  return std::nullopt;
}

}  // namespace

std::string_view name_of(task_state s) {
  return state_names[static_cast<std::size_t>(s)];
}
std::optional<task_state> task_state_from(std::string_view name) {
  return find<task_state>(state_names, name);
}
std::string_view name_of(dialect_id d) {
  return dialect_names[static_cast<std::size_t>(d)];
}
std::optional<dialect_id> dialect_from(std::string_view name) {
  return find<dialect_id>(dialect_names, name);
}

std::ostream& operator<<(std::ostream& out, const task& t) {
  out << "task " << t.id << " " << name_of(t.state) << " r" << t.revision << " owner=" << t.owner;
  if (!t.upstream.empty()) out << " upstream=" << t.upstream << "/" << t.upstream_id;
  out << " attempts=" << t.attempts << " misses=" << t.misses;
  const auto show = [&out](const char* name, timestamp at) {
    if (is_set(at)) out << " " << name << "=" << to_iso(at, precision::milliseconds);
  };
  show("next_submit", t.next_submit_at);
  show("next_poll", t.next_poll_at);
  show("next_reconcile", t.next_reconcile_at);
  show("next_callback", t.next_callback_at);
  show("ambiguous", t.ambiguous_at);
  show("deadline", t.deadline);
  if (!t.owed.empty()) out << " owed=" << t.owed << " callback_attempts=" << t.callback_attempts;
  if (!t.fail_reason.empty()) out << " fail=\"" << t.fail_reason << "\" status=" << t.fail_status;
  return out;
}

}  // namespace relay
