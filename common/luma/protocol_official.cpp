#include "common/luma/protocol_official.hpp"

#include <algorithm>

#include "common/base/json_text.hpp"
#include "common/base/url.hpp"
#include "common/engine/marker.hpp"
#include "common/luma/models.hpp"
#include "common/luma/reply.hpp"
#include "common/luma/request.hpp"

namespace relay::luma {
namespace {

std::string obstacle(const task&, const outgoing_settings&) {
  return {};
}

std::string model_of(const task& t, const outgoing_settings& with) {
  json_arena memory;
  const auto request = parse_lenient(t.request, memory.storage());
  return request && request->is_object() ? own_model(request->get_object(), row_of(t), with) : "";
}

result<outgoing> build_create(const task& t, const outgoing_settings& with, const id_translation& translate) {
  json_arena memory;
  auto translated = outgoing_request(t, translate, memory);
  if (!translated) return std::unexpected(std::move(translated.error()));
  json::object& request = *translated;
  const action& a = row_of(t);

  request.erase("expand_prompt");  // the web app's own; the official API has no such field
  request.erase("sync");           // served by the relay: a create must get its response soon
  request.erase("sync_timeout");
  if (const std::string model = own_model(request, a, with); !model.empty())
    request["model"] = json::string(model);

  if (a.type_is_sent) request["generation_type"] = json::string(a.request_type);

  // The generation that the path names is no field of the body.
  std::string path(a.path);
  if (const auto at = path.find("{id}"); at != std::string::npos) {
    path.replace(at, 4, path_segment(text_of(request, "id")));
    request.erase("id");
  }
  if (const std::string marker = marker_url(with.public_url, t); !marker.empty())
    request["callback_url"] = json::string(marker);
  return outgoing{std::move(path), to_text(request)};
}

std::string build_fetch(const std::string& upstream_id) {
  return "/generations/" + path_segment(upstream_id);
}

std::string build_list(std::size_t limit, std::size_t offset) {
  return "/generations?limit=" + std::to_string(limit) + "&offset=" + std::to_string(offset);
}

std::optional<bool> has_more(const json::object& page) {
  const json::value* more = member(page, "has_more");
  if (more == nullptr || !more->is_bool()) return std::nullopt;
  return more->get_bool();
}

// Every field that was sent and that the upstream echoes is the same; the prompt, the keyframes and the file
// that the job is made of among them.
bool same_request(const task& t, const json::object& sent, const listed_job& listed) {
  if (!row_of(t).echo_identifies || !listed.request) return false;
  const json::object& echoed = *listed.request;
  for (const std::string_view needed : {"prompt", "keyframes", "media"}) {
    if ((member(echoed, needed) == nullptr) != (member(sent, needed) == nullptr)) return false;
  }
  return std::ranges::all_of(sent, [&](const auto& field) {
    const json::value* shown = member(echoed, view(field.key()));
    return shown == nullptr || *shown == field.value();
  });
}

// FastAPI's shape.
bool says_not_found(std::string_view body) {
  const auto v = parse_lenient(body);
  return v && v->is_object() && member(v->get_object(), "detail") != nullptr;
}

std::optional<double> parse_credits(std::string_view body) {
  const auto v = parse_lenient(body);
  const json::value* cents = v ? member(*v, "credit_balance") : nullptr;
  if (cents == nullptr || !cents->is_number()) return std::nullopt;
  return cents->to_number<double>();
}

bool other_request(const json::object& sent, const listed_job& shown) {
  return shown.request && !same_prompt(text_of(sent, "prompt"), *shown.request);
}

}  // namespace

const protocol official_protocol = {.name = "luma",
                                    .base_path = "/dream-machine/v1",
                                    .authorization = "Bearer ",
                                    .marker_field = "callback_url",
                                    .obstacle = obstacle,
                                    .model_of = model_of,
                                    .build_create = build_create,
                                    .build_fetch = build_fetch,
                                    .build_remove = build_fetch,  // the same path
                                    .build_list = build_list,
                                    .lists_words = true,
                                    .credits_path = "/credits",
                                    .parse_credits = parse_credits,
                                    .parse_job = parse_job,
                                    .list_member = "generations",
                                    .parse_listed = parse_listed,
                                    .has_more = has_more,
                                    .same_request = same_request,
                                    .says_not_found = says_not_found,
                                    .other_request = other_request,
                                    .error_text = error_text,
                                    .check_path = "/credits"};

}  // namespace relay::luma
