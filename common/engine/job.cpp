#include "common/engine/job.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/ascii.hpp"

namespace relay {
namespace {

struct word {
  std::string_view text;
  job_state state;
};

// Official, web app, envelope (Suno-API's enum), and the synonyms seen in stations.
constexpr word words[] = {
    {"queued", job_state::queued},        {"pending", job_state::queued},
    {"submitted", job_state::queued},     {"not_start", job_state::queued},
    {"staged", job_state::queued},        {"created", job_state::queued},
    {"dreaming", job_state::dreaming},    {"processing", job_state::dreaming},
    {"in_progress", job_state::dreaming}, {"running", job_state::dreaming},
    {"streaming", job_state::dreaming},   {"completed", job_state::completed},
    {"complete", job_state::completed},   {"succeeded", job_state::completed},
    {"success", job_state::completed},    {"done", job_state::completed},
    {"failed", job_state::failed},        {"failure", job_state::failed},
    {"error", job_state::failed},         {"cancelled", job_state::failed},
    {"canceled", job_state::failed},
};

bool looks_like_job(const json::object& o) {
  return !first_text(o, {"id", "task_id"}).empty() || !first_text(o, {"state"}).empty();
}

// Peels arrays and envelopes, a few layers at most.
const json::object* unwrap(const json::value& v, int layers = 4) {
  if (layers == 0) return nullptr;
  if (const json::array* list = v.if_array()) {
    return list->empty() ? nullptr : unwrap(list->front(), layers - 1);
  }
  const json::object* o = v.if_object();
  if (o == nullptr) return nullptr;
  if (const json::value* inner = member(*o, "gen_api_response")) return unwrap(*inner, layers - 1);
  const json::value* data = member(*o, "data");
  if (data == nullptr || !text_of(*o, "state").empty()) return o;
  // A task row that has ended says so itself: its inner object may be what the upstream said before.
  const job_state row = job_state_from(text_of(*o, "status"));
  if (row == job_state::failed && !text_of(*o, "task_id").empty()) return o;
  const json::object* inner = unwrap(*data, layers - 1);
  return inner != nullptr && looks_like_job(*inner) ? inner : o;
}

bool has_link(const json::object& o) {
  if (!first_text(o, {"video_url"}).empty()) return true;
  for (const std::string_view key : {"assets", "video", "video_raw", "artifact", "image"}) {
    const json::value* v = member(o, key);
    if (v == nullptr) continue;
    if (v->is_string()) return true;
    if (v->is_array()) return !v->get_array().empty();
    if (!v->is_object()) continue;
    if (!first_text(v->get_object(), {"video", "image", "url", "download_url"}).empty()) return true;
    if (key == "artifact" && has_link(v->get_object())) return true;
  }
  return false;
}

// It goes into a request line and into log lines.
bool usable_id(std::string_view id) {
  return id.size() <= 200 && is_word(id, "-._~:");
}

std::optional<int> progress_of(const json::object& o) {
  const json::value* p = member(o, "progress");
  if (p == nullptr) return std::nullopt;
  double percent = -1;
  if (p->is_string()) {  // "35%"
    std::string_view text = view(p->get_string());
    if (text.ends_with('%')) text.remove_suffix(1);
    int whole = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), whole);
    if (ec == std::errc{} && end == text.data() + text.size()) percent = whole;
  } else if (p->is_number()) {
    percent = p->to_number<double>();
    if (p->is_double() && percent <= 1.0) percent *= 100;  // a share of one
  }
  if (!(percent >= 0 && percent <= 100)) return std::nullopt;
  return static_cast<int>(percent);
}

std::string failure_of(const json::object& o) {
  if (const auto text = first_text(o, {"failure_reason", "fail_reason", "failure_message"}); !text.empty()) {
    return std::string(text);
  }
  if (const json::value* e = member(o, "error")) {
    if (e->is_string()) return std::string(view(e->get_string()));
    if (e->is_object()) return std::string(text_of(e->get_object(), "message"));
  }
  return {};
}

}  // namespace

job_state job_state_from(std::string_view text) {
  const std::string known = lower(text);
  for (const word& w : words) {
    if (w.text == known) return w.state;
  }
  return job_state::unknown;
}

result<job> parse_job(const json::value& reply) {
  // new-api answers a create with the id alone: {"code":"success","data":"<id>"}.
  if (const json::object* o = reply.if_object(); o != nullptr && text_of(*o, "code") == "success" &&
                                                 usable_id(text_of(*o, "data")) &&
                                                 !text_of(*o, "data").empty()) {
    job created;
    created.id = text_of(*o, "data");
    created.state = job_state::queued;
    created.body["id"] = json::string(created.id);
    return created;
  }
  const json::object* o = unwrap(reply);
  if (o == nullptr || !looks_like_job(*o)) {
    return fail(errc::upstream_unavailable, "the upstream's reply holds no job");
  }
  job out;
  out.id = first_text(*o, {"id", "task_id"});
  if (!usable_id(out.id)) out.id.clear();
  out.state = job_state_from(first_text(*o, {"state", "status"}));
  out.failure_reason = failure_of(*o);
  out.progress = progress_of(*o);
  out.body = *o;
  out.has_link = has_link(*o);
  return out;
}

result<job> parse_job_text(std::string_view reply) {
  const auto v = parse_lenient(reply);
  if (!v) return fail(errc::upstream_unavailable, "the upstream's reply is not JSON");
  return parse_job(*v);
}

}  // namespace relay
