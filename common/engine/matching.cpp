#include "common/engine/matching.hpp"

#include <algorithm>

namespace relay {
namespace {

bool absent_or(const json::object& echoed, std::string_view key, const json::value& sent) {
  const json::value* said = member(echoed, key);
  return said == nullptr || *said == sent;
}

// Every field that was sent and that the upstream echoes is the same, the prompt among them.
bool same_request(const json::object& sent, const listed_job& j) {
  const json::value* echo = member(j.said.body, "request");
  if (echo == nullptr || !echo->is_object()) return false;
  const json::object& echoed = echo->get_object();
  for (const std::string_view needed : {"prompt", "keyframes"}) {
    const json::value* said = member(echoed, needed);
    const json::value* asked = member(sent, needed);
    if ((said == nullptr) != (asked == nullptr)) return false;
  }
  return std::ranges::all_of(
      sent, [&](const auto& field) { return absent_or(echoed, view(field.key()), field.value()); });
}

bool in_time(const task& t, const listed_job& j) {
  return is_set(j.created_at) && j.created_at >= t.attempted_at - clock_tolerance &&
         j.created_at <= t.ambiguous_at + clock_tolerance;
}

json::object fields_of(const outgoing& sent) {
  auto body = parse_lenient(sent.body);
  if (!body || !body->is_object()) return {};
  body->get_object().erase("callback_url");  // each task's own
  return std::move(body->get_object());
}

}  // namespace

result<listed_page> parse_list(std::string_view body) {
  const auto v = parse_lenient(body);
  const json::object* o = v ? v->if_object() : nullptr;
  const json::value* list = o != nullptr ? member(*o, "generations") : nullptr;
  if (list == nullptr || !list->is_array()) {
    return fail(errc::upstream_unavailable, "the upstream's answer is not a list of generations");
  }
  listed_page out;
  for (const json::value& item : list->get_array()) {
    auto said = parse_job(item);
    if (!said || said->id.empty()) {
      return fail(errc::upstream_unavailable, "an item of the upstream's list is not a generation");
    }
    listed_job j;
    j.reply = json::serialize(item);
    j.created_at = from_iso(text_of(said->body, "created_at")).value_or(never);
    if (const json::value* request = member(said->body, "request");
        request != nullptr && request->is_object())
      j.callback_url = text_of(request->get_object(), "callback_url");
    j.said = std::move(*said);
    out.jobs.push_back(std::move(j));
  }
  const json::value* more = member(*o, "has_more");
  if (more != nullptr && more->is_bool()) out.has_more = more->get_bool();
  return out;
}

bool listing::covers(timestamp since) const {
  if (ended) return true;
  if (jobs.empty() || !std::ranges::all_of(jobs, [](const listed_job& j) { return is_set(j.created_at); })) {
    return false;
  }
  const bool newest_first = std::ranges::is_sorted(
      jobs, [](const listed_job& a, const listed_job& b) { return a.created_at > b.created_at; });
  return newest_first && jobs.back().created_at < since;
}

bool listing::echoes() const {
  return std::ranges::any_of(jobs, [](const listed_job& j) { return is_marked(j.callback_url); });
}

bool listing::shows_requests(timestamp since) const {
  return std::ranges::all_of(jobs, [since](const listed_job& j) {
    const json::value* request = member(j.said.body, "request");
    return (is_set(j.created_at) && j.created_at < since) || (request != nullptr && request->is_object());
  });
}

void listing::add(std::vector<listed_job> page) {
  for (listed_job& j : page) {
    if (ids_.insert(j.said.id).second) jobs.push_back(std::move(j));
  }
}

timestamp needed_since(const task& t) {
  return t.attempted_at - clock_tolerance;
}

task_event look_for(const suspicion& s, const listing& seen, std::span<const suspicion> others, bool echoes,
                    const std::function<bool(const std::string&)>& known) {
  const std::string mark = marker_path(s.of);
  if (!mark.empty()) {
    const auto found =
        std::ranges::find_if(seen.jobs, [&](const listed_job& j) { return j.callback_url.ends_with(mark); });
    if (found != seen.jobs.end()) return event::found{found->said, found->reply};
  }
  // With a marker, and a list that echoes it, a job without it is somebody else's.
  const bool marked = !mark.empty() && echoes;
  if (!marked && !s.sent.body.empty()) {
    const json::object sent = fields_of(s.sent);
    const listed_job* candidate = nullptr;
    bool several = std::ranges::any_of(
        others, [&](const suspicion& o) { return o.of.id != s.of.id && fields_of(o.sent) == sent; });
    for (const listed_job& j : seen.jobs) {
      if (!j.callback_url.empty() || !in_time(s.of, j) || !same_request(sent, j) || known(j.said.id))
        continue;
      several = several || candidate != nullptr;
      candidate = &j;
    }
    if (candidate != nullptr && !several) return event::found{candidate->said, candidate->reply};
  }
  return event::absent{seen.asked_at, marked && seen.echoes() && seen.covers(needed_since(s.of)) &&
                                          seen.shows_requests(needed_since(s.of))};
}

}  // namespace relay
