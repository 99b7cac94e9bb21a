#include "common/luma/protocol_station.hpp"

#include "common/base/json_text.hpp"
#include "common/base/url.hpp"
#include "common/engine/marker.hpp"
#include "common/luma/models.hpp"
#include "common/luma/reply.hpp"
#include "common/luma/request.hpp"

namespace relay::luma {
namespace {

constexpr reference_place first_frame{"keyframes", "frame0"};
constexpr reference_place last_frame{"keyframes", "frame1"};

std::string obstacle(const task& t, const outgoing_settings&) {
  if (row_of(t).for_station == nullptr) return "stations do not offer " + std::string(t.action->name);
  json_arena memory;
  auto request = parse_lenient(t.request, memory.storage());
  if (!request || !request->is_object()) return "the stored request is not an object";
  if (reference_at(request->get_object(), last_frame) == nullptr) return {};
  return "keyframes.frame1: stations can extend a generation at its end only";
}

std::string model_of(const task& t, const outgoing_settings& with) {
  json_arena memory;
  const auto request = parse_lenient(t.request, memory.storage());
  return request && request->is_object()
             ? std::string(with.models.own(text_of(request->get_object(), "model")))
             : "";
}

result<outgoing> build_create(const task& t, const outgoing_settings& with, const id_translation& translate) {
  json_arena memory;
  auto request = outgoing_request(t, translate, memory);
  if (!request) return std::unexpected(std::move(request.error()));
  if (row_of(t).for_station == nullptr)
    return fail(errc::invalid_request, "stations do not offer " + std::string(t.action->name));
  if (const std::string marker = marker_url(with.public_url, t); !marker.empty())
    (*request)["notify_hook"] = json::string(marker);
  if (const auto model = text_of(*request, "model"); !model.empty()) {
    const json::string own(with.models.own(model));
    (*request)["model"] = own;
  }
  return row_of(t).for_station(std::move(*request));
}

std::string build_fetch(const std::string& upstream_id) {
  return "/luma/generations/" + path_segment(upstream_id);
}

// Puts the URL of an image keyframe under the web app's name.
void move_frame(json::object& request, const char* frame, const char* field) {
  const json::value* keyframes = member(request, "keyframes");
  const json::value* found = keyframes != nullptr ? member(*keyframes, frame) : nullptr;
  const json::value* url = found != nullptr ? member(*found, "url") : nullptr;
  if (url == nullptr) return;
  json::value copy = *url;
  request[field] = std::move(copy);
}

// FastAPI's shape, OpenAI's, or the envelope's.
bool says_not_found(std::string_view body) {
  const auto v = parse_lenient(body);
  if (!v || !v->is_object()) return false;
  const json::object& o = v->get_object();
  return member(o, "detail") != nullptr || member(o, "error") != nullptr ||
         (member(o, "code") != nullptr && member(o, "message") != nullptr);
}

bool other_request(const json::object& sent, const listed_job& shown) {
  return shown.request && !same_prompt(text_of(sent, "user_prompt"), *shown.request);
}

}  // namespace

outgoing video_for_station(json::object request) {
  outgoing out;
  out.path = "/luma/generations";
  rename_member(request, "prompt", "user_prompt");
  rename_member(request, "model", "model_name");
  if (const auto model = text_of(request, "model_name"); !model.empty())
    request["model_name"] = json::string(station_model(model));
  if (!request.contains("aspect_ratio")) request["aspect_ratio"] = "16:9";  // required by some
  if (!request.contains("user_prompt")) request["user_prompt"] = "";
  if (const json::object* extended = reference_at(request, first_frame))
    out.path = "/luma/generations/" + path_segment(text_of(*extended, "id")) + "/extend";
  else
    move_frame(request, "frame0", "image_url");
  move_frame(request, "frame1", "image_end_url");
  request.erase("keyframes");
  out.body = to_text(request);
  return out;
}

const protocol station_protocol = {.name = "station",
                                   .base_path = "",
                                   .authorization = "Bearer ",
                                   .marker_field = "notify_hook",
                                   .obstacle = obstacle,
                                   .model_of = model_of,
                                   .build_create = build_create,
                                   .build_fetch = build_fetch,
                                   .parse_job = parse_job,
                                   .parse_listed = parse_listed,
                                   .says_not_found = says_not_found,
                                   .other_request = other_request,
                                   .error_text = error_text,
                                   .check_path = "/luma/generations/00000000-0000-4000-8000-000000000000"};

}  // namespace relay::luma
