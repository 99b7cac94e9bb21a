#include "common/luma/reply.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/ascii.hpp"
#include "common/base/json_arena.hpp"
#include "common/base/text.hpp"
#include "common/base/time.hpp"
#include "common/engine/upstream_words.hpp"
#include "common/luma/links.hpp"

namespace relay::luma {
namespace {

struct word {
  std::string_view text;
  job_state state;
};

// Official, web app, envelope (Suno-API's enum), and the synonyms seen in stations.
constexpr word words[] = {
    {"queued", job_state::queued},       {"pending", job_state::queued},
    {"submitted", job_state::queued},    {"not_start", job_state::queued},
    {"staged", job_state::queued},       {"created", job_state::queued},
    {"dreaming", job_state::running},    {"processing", job_state::running},
    {"in_progress", job_state::running}, {"running", job_state::running},
    {"streaming", job_state::running},   {"completed", job_state::completed},
    {"complete", job_state::completed},  {"succeeded", job_state::completed},
    {"success", job_state::completed},   {"done", job_state::completed},
    {"failed", job_state::failed},       {"failure", job_state::failed},
    {"error", job_state::failed},        {"cancelled", job_state::failed},
    {"canceled", job_state::failed},
};

std::string id_of(const json::object& o);

bool looks_like_job(const json::object& o) {
  return !id_of(o).empty() || !first_text(o, {"state"}).empty();
}

// Peels arrays and envelopes, a few layers at most.
const json::object* unwrap(const json::value& v, int layers = 4) {
  if (layers == 0) return nullptr;
  if (const json::array* list = v.if_array()) {
    return list->empty() ? nullptr : unwrap(list->front(), layers - 1);
  }
  const json::object* o = v.if_object();
  if (o == nullptr) return nullptr;
  // Stations nest the official object in fields of their own.
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
  if (const json::value* output = member(o, "output"); output != nullptr && output->is_array())
    return !output->get_array().empty();
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

// It goes into paths and log lines, escaped; a dot segment would be taken out of a path (RFC 3986 §5.2.4).
bool usable_id(std::string_view id) {
  const auto printable = [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; };
  return !id.empty() && id.size() <= 200 && std::ranges::all_of(id, printable) && id != "." && id != "..";
}

// Text, or else a number: some stations count their jobs.
std::string id_of(const json::object& o) {
  if (const auto text = first_text(o, {"id", "task_id"}); !text.empty()) return std::string(text);
  for (const char* key : {"id", "task_id"}) {
    const json::value* v = member(o, key);
    if (v != nullptr && v->is_int64() && v->get_int64() > 0) return std::to_string(v->get_int64());
  }
  return {};
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

// The upstream's own words, and its code for programs behind them.
std::string failure_of(const json::object& o) {
  const std::string_view code = first_text(o, {"failure_code", "error_code"});
  std::string_view text = first_text(o, {"failure_reason", "fail_reason", "failure_message"});
  if (const json::value* e = text.empty() ? member(o, "error") : nullptr) {
    if (e->is_string()) text = view(e->get_string());
    if (e->is_object()) text = first_text(e->get_object(), {"message", "code"});
  }
  if (text.empty()) return upstream_words(code);
  std::string out = upstream_words(text);
  if (!code.empty() && !out.contains(code)) out += " (" + upstream_words(code) + ")";
  return out;
}

}  // namespace

job_state job_state_from(std::string_view text) {
  const std::string known = lower(text);
  for (const word& w : words) {
    if (w.text == known) return w.state;
  }
  return job_state::unknown;
}

namespace {

// new-api responds to a create with the id alone: {"code":"success","data":"<id>"}.
std::string_view bare_id(const json::value& reply) {
  const json::object* o = reply.if_object();
  if (o == nullptr || text_of(*o, "code") != "success") return {};
  const std::string_view id = text_of(*o, "data");
  return is_word(id, "-._~:") && usable_id(id) ? id : std::string_view{};  // a sentence is none
}

result<json::value> parse_body(std::string_view text, json_arena& memory) {
  auto v = parse_lenient(text, memory.storage());
  if (!v) return fail(errc::upstream_unavailable, "the upstream's reply is not JSON");
  return std::move(*v);
}

}  // namespace

const json::object* body_of(const json::value& reply) {
  if (!bare_id(reply).empty()) return nullptr;
  const json::object* o = unwrap(reply);
  return o != nullptr && looks_like_job(*o) ? o : nullptr;
}

result<parsed_reply> parse_reply(const json::value& reply) {
  if (const std::string_view id = bare_id(reply); !id.empty()) {
    parsed_reply created;
    created.reported.id = id;
    created.reported.state = job_state::queued;
    return created;
  }
  // Everything else is a job, perhaps within envelopes.
  const json::object* o = body_of(reply);
  if (o == nullptr) return fail(errc::upstream_unavailable, "the upstream's reply holds no job");
  parsed_reply out;
  job& j = out.reported;
  j.id = id_of(*o);
  if (!usable_id(j.id)) j.id.clear();
  j.state = job_state_from(first_text(*o, {"state", "status"}));
  j.failure_reason = failure_of(*o);
  j.progress = progress_of(*o);
  j.has_result = has_link(*o);
  if (j.state == job_state::completed) {
    const link_end end = end_of_links(reply);
    j.links_until = end.at;
    j.links_for = end.after;
  }
  out.body = o;
  return out;
}

result<job> parse_job(std::string_view text) {
  json_arena memory;
  const auto v = parse_body(text, memory);
  if (!v) return std::unexpected(v.error());
  auto reply = parse_reply(*v);
  if (!reply) return std::unexpected(std::move(reply.error()));
  return std::move(reply->reported);
}

result<listed_job> parse_listed(std::string_view text) {
  json_arena memory;
  const auto v = parse_body(text, memory);
  if (!v) return std::unexpected(v.error());
  auto reply = parse_reply(*v);
  if (!reply) return std::unexpected(std::move(reply.error()));
  if (reply->reported.id.empty()) return fail(errc::upstream_unavailable, "the generation has no usable id");
  listed_job j;
  j.reply = text;
  j.reported = std::move(reply->reported);
  if (reply->body == nullptr) return j;
  const json::object& o = *reply->body;
  j.created_at = from_iso(text_of(o, "created_at")).value_or(never);
  const json::value* request = member(o, "request");
  if (request != nullptr && request->is_object()) {
    j.callback_url = text_of(request->get_object(), "callback_url");
    j.request = json::object(request->get_object(), json::storage_ptr());  // it outlives the arena
  } else if (const std::string_view prompt = text_of(o, "prompt"); !prompt.empty()) {
    j.request = json::object{{"prompt", json::string(prompt)}};
  }
  return j;
}

bool same_prompt(std::string_view sent, const json::object& shown) {
  const std::string_view there = first_text(shown, {"prompt", "user_prompt"});
  return there.empty() || there == sent;
}

namespace {

// pydantic's list of violations: every message, with its place.
std::string violations_text(const json::array& list) {
  std::string out;
  for (const json::value& item : list) {
    const json::value* msg = member(item, "msg");
    if (msg == nullptr || !msg->is_string()) continue;
    if (!out.empty()) out += "; ";
    const json::value* loc = member(item, "loc");
    if (loc != nullptr && loc->is_array() && loc->get_array().size() > 1) {
      const json::value& last = loc->get_array().back();
      if (last.is_string()) out += std::string(view(last.get_string())) + ": ";
    }
    out += view(msg->get_string());
  }
  return out;
}

std::string detail_text(const json::object& o) {
  const json::value* detail = member(o, "detail");
  if (detail == nullptr) return {};
  if (detail->is_string()) return std::string(view(detail->get_string()));
  if (const json::array* list = detail->if_array()) return violations_text(*list);
  if (const json::object* inner = detail->if_object())
    return std::string(first_text(*inner, {"reason", "message"}));
  return {};
}

}  // namespace

std::string error_text(int status, std::string_view body) {
  std::string text;
  if (const auto v = parse_lenient(body); v && v->is_object()) {
    // FastAPI's `detail`, then the stations' `error`, then a bare `message`.
    const json::object& o = v->get_object();
    text = detail_text(o);
    if (text.empty()) {
      if (const json::value* e = member(o, "error"); e != nullptr) {
        if (e->is_object())
          text = text_of(e->get_object(), "message");
        else if (e->is_string())
          text = view(e->get_string());
      }
    }
    if (text.empty()) text = text_of(o, "message");
  }
  if (text.empty()) return "The upstream refused the request with status " + std::to_string(status);
  return upstream_words(text);
}

}  // namespace relay::luma
