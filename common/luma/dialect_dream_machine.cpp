// The official API (docs.lumalabs.ai), and the web-app fields that stations answer with on the same path.

#include "common/luma/dialect.hpp"
#include "common/base/id.hpp"
#include "common/luma/validation.hpp"
#include "common/luma/view.hpp"

namespace relay {
namespace {

// @ai-sdk/luma sends reference images under shorter names.
constexpr std::pair<const char*, const char*> ai_sdk_names[] = {{"image", "image_ref"},
                                                                {"style", "style_ref"},
                                                                {"character", "character_ref"},
                                                                {"modify_image", "modify_image_ref"}};

void rename(json::object& o, const char* from, const char* to) {
  json::value* found = o.if_contains(from);
  if (found == nullptr || o.contains(to)) return;
  json::value moved = std::move(*found);
  o.erase(from);
  o.emplace(to, std::move(moved));
}

result<new_task> parse_create(const json::value& body, endpoint asked_at) {
  problems wrong;
  if (!body.is_object()) {
    wrong.wrong_type({"body"}, "model_attributes_type", "Input should be a JSON object", &body);
    return std::unexpected(std::move(wrong).to_error());
  }
  new_task out;
  out.request = body.get_object();
  if (asked_at == endpoint::image) {
    for (const auto& [from, to] : ai_sdk_names) rename(out.request, from, to);
  }
  // null and "not there" are the same to the official API.
  for (auto it = out.request.begin(); it != out.request.end();) {
    it = it->value().is_null() ? out.request.stable_erase(it) : it + 1;
  }
  if (const json::value* url = member(out.request, "callback_url"); url != nullptr) {
    if (!url->is_string()) {
      wrong.wrong_type({"body", "callback_url"}, "string_type", "Input should be a valid string", url);
    } else if (url->get_string().size() > max_callback_url) {
      wrong.broken_rule({"body", "callback_url"}, "string_too_long",
                        "Input should have at most 2048 characters", url);
    } else {
      out.callback_url = std::string(view(url->get_string()));
    }
    out.request.stable_erase(out.request.find("callback_url"));
  }
  validate(asked_at, out.request, {}, wrong);
  if (!wrong.none()) return std::unexpected(std::move(wrong).to_error());
  out.references = references(out.request);
  return out;
}

// The web app's fields first, as in the stations' documents; then the official ones. `state` is official
// here: the official SDKs, ComfyUI and @ai-sdk/luma accept no other words.
json::object official_fields(const task_view& v, json::object into) {
  const task& t = v.of;
  into["state"] = json::string(shared::official_state(t.state));
  into["generation_type"] = json::string(info(t.asked_at).generation_type);
  into["assets"] = v.assets;
  into["version"] = nullptr;
  const json::value* model = member(v.request, "model");
  const json::value* said_model = member(v.said, "model");
  into["model"] = model != nullptr ? *model : said_model != nullptr ? *said_model : json::value(nullptr);
  into["request"] = v.request;
  return into;
}

json::object render_created(const task& t, timestamp) {
  const task_view v(t);
  return official_fields(
      v, {{"id", json::string(t.id)},
          {"state", nullptr},
          {"failure_reason", shared::text_or_null(t.state == task_state::failed ? t.fail_reason : "")},
          {"created_at", json::string(to_iso(t.created_at, precision::microseconds))}});
}

json::object render_task(const task& t, timestamp) {
  const task_view v(t);
  return official_fields(v, shared::web_app_object(v, precision::milliseconds));
}

}  // namespace

const dialect dialects::dream_machine = {dialect_id::dream_machine, parse_create, render_created,
                                         render_task};

}  // namespace relay
