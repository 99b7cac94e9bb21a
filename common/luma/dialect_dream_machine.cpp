// The official API (docs.lumalabs.ai), and the web-app fields that stations send on the same path.

#include <algorithm>

#include "common/base/id.hpp"
#include "common/luma/actions.hpp"
#include "common/luma/dialects.hpp"
#include "common/luma/files.hpp"
#include "common/luma/request.hpp"
#include "common/luma/schemas.hpp"
#include "common/luma/validation.hpp"
#include "common/luma/web_app_fields.hpp"
#include "common/luma/words.hpp"

namespace relay::luma {
namespace {

// `sync` of the image API is served by the relay: the upstream is sent the job without it, and polled until
// it is done.
std::optional<milliseconds> wait_of(const json::object& request) {
  const json::value* sync = member(request, "sync");
  if (sync == nullptr || !sync->is_bool() || !sync->get_bool()) return std::nullopt;
  const json::value* limit = member(request, "sync_timeout");
  const double seconds = limit != nullptr && limit->is_number() ? limit->to_number<double>() : 60;
  return milliseconds(static_cast<std::int64_t>(std::clamp(seconds, 0.0, 55.0) * 1000));
}

result<new_task> parse_create(const json::value& body, const relay::action& kind, std::string_view subject) {
  problems wrong;
  if (!body.is_object()) {
    wrong.wrong_type({"body"}, "model_attributes_type", "Input should be a JSON object", &body);
    return std::unexpected(std::move(wrong).to_error());
  }
  const action& a = row_of(kind);
  new_task out{.request = json::object(body.get_object(), body.storage())};
  for (const field_rule& f : a.fields) {
    if (!f.alias.empty() && !out.request.contains(f.name)) rename_member(out.request, f.alias, f.name);
  }
  // null and "not there" are the same to the official API.
  for (auto it = out.request.begin(); it != out.request.end();) {
    it = it->value().is_null() ? out.request.stable_erase(it) : it + 1;
  }
  take_callback_url(out.request, "callback_url", out.callback_url, wrong);
  if (!subject.empty()) out.request["id"] = json::string(subject);
  coerce(a, out.request);
  validate(a, out.request, {}, wrong);
  if (!wrong.none()) return std::unexpected(std::move(wrong).to_error());
  out.references = references_in(a, out.request);
  out.files = files_in(a, out.request, {});
  out.wait = wait_of(out.request);
  return out;
}

// What the official API shows beside id, state and time.
void write_official_fields(json_object_writer& w, const task_view& v) {
  w.member("generation_type", row_of(v.of()).generation_type);
  w.member("assets", v.media().assets);
  w.member("version", nullptr);
  if (const json::value* model = v.requested("model"))
    w.member("model", *model);
  else
    write_reported(w, v, "model");
  v.append_echo(w.key("request"));
}

result<std::string> render_created(const task& t, const showing&) {
  constexpr std::size_t usual = 1'024;
  const task_view v(t);
  std::string out;
  out.reserve(usual);
  json_object_writer w(out);
  w.member("id", t.id);
  w.member("state", official_state(t.state));
  write_failure(w, t);
  w.member("created_at", to_iso(t.created_at, precision::microseconds));
  write_official_fields(w, v);
  w.end();
  return out;
}

// The web app's fields first, as in the stations' documents; then the official ones. `state` is official
// here: the official SDKs, ComfyUI and @ai-sdk/luma accept no other words.
result<std::string> render_task(const task& t, const showing&) {
  const task_view v(t);
  std::string out;
  json_object_writer w(out);
  write_web_app_fields(w, v, {official_state(t.state), to_iso(t.created_at, precision::milliseconds)});
  write_official_fields(w, v);
  w.end();
  return out;
}

list_frame frame_page(std::size_t count, bool has_more, page_request page) {
  return {std::string("{\"has_more\":") + (has_more ? "true" : "false") +
              ",\"count\":" + std::to_string(count) + ",\"limit\":" + std::to_string(page.limit) +
              ",\"offset\":" + std::to_string(page.offset) + ",\"generations\":[",
          "]}"};
}

}  // namespace

const task_form forms::official = {"official", official_state, render_task, never_by_time, official_schema};
const task_form forms::created = {"created", official_state, render_created, never_by_time, official_schema};

const dialect dialects::dream_machine = {.name = "dream-machine",
                                         .parse_create = parse_create,
                                         .created = &forms::created,
                                         .shown = &forms::official,
                                         .frame_page = frame_page,
                                         .parse_ids = nullptr,
                                         .frame_batch = nullptr,
                                         .in_array = nullptr,
                                         .render_error = render_official_error};

}  // namespace relay::luma
