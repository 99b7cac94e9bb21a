#include "common/luma/outgoing.hpp"

#include "common/base/id.hpp"
#include "common/base/json.hpp"

namespace relay {
namespace {

// Spellings of the stations and of the web app, for the official API. The client sees its own in the echo.
std::string_view official_model(std::string_view name, const std::string& default_model) {
  if (name == "ray-v1" || name == "ray-1.6" || name == "ray-1") return "ray-1-6";
  if (name == "ray-v2") return "ray-2";
  // What stations bill Luma videos under; no model of its own.
  if ((name.starts_with("luma_video") || name == "dream-machine") && !default_model.empty())
    return default_model;
  return name;
}

std::string_view station_model(std::string_view name) {
  if (name == "ray-2") return "ray-v2";
  if (name == "ray-1-6") return "ray-v1";
  return name;
}

json::value* frame_at(json::object& request, const char* key) {
  json::value* keyframes = request.if_contains("keyframes");
  if (keyframes == nullptr || !keyframes->is_object()) return nullptr;
  json::value* frame = keyframes->get_object().if_contains(key);
  return frame != nullptr && frame->is_object() ? frame : nullptr;
}

result<void> translate_references(json::object& request, const id_translation& translate) {
  for (const char* key : {"frame0", "frame1"}) {
    json::value* frame = frame_at(request, key);
    if (frame == nullptr || text_of(frame->get_object(), "type") != "generation") continue;
    const auto theirs = translate(normalise_id(text_of(frame->get_object(), "id")));
    if (!theirs) {
      return fail(errc::invalid_request, std::string("keyframes.") + key +
                                             ".id: that generation has not been accepted by an upstream");
    }
    frame->get_object()["id"] = json::string(*theirs);
  }
  return {};
}

outgoing for_luma(const task& t, json::object request, const std::string& default_model) {
  request.erase("expand_prompt");  // the web app's own; the official API has no such field
  request.erase("sync");           // served by the relay: a create must be answered soon
  request.erase("sync_timeout");
  if (const json::value* model = member(request, "model"); model != nullptr && model->is_string()) {
    request["model"] = json::string(official_model(view(model->get_string()), default_model));
  } else if (model == nullptr && !default_model.empty() && t.asked_at != endpoint::image) {
    request["model"] = json::string(default_model);
  }
  return {std::string(info(t.asked_at).path), json::serialize(request)};
}

void move_member(json::object& o, const char* from, const char* to) {
  json::value* found = o.if_contains(from);
  if (found == nullptr) return;
  json::value value = std::move(*found);
  o.erase(from);
  o[to] = std::move(value);
}

outgoing for_station(json::object request) {
  outgoing out;
  out.path = "/luma/generations";
  move_member(request, "prompt", "user_prompt");
  move_member(request, "model", "model_name");
  if (const auto model = text_of(request, "model_name"); !model.empty())
    request["model_name"] = json::string(station_model(model));
  if (!request.contains("aspect_ratio")) request["aspect_ratio"] = "16:9";  // required by some
  if (!request.contains("user_prompt")) request["user_prompt"] = "";
  for (const auto& [frame_name, field] :
       {std::pair{"frame0", "image_url"}, std::pair{"frame1", "image_end_url"}}) {
    json::value* frame = frame_at(request, frame_name);
    if (frame == nullptr) continue;
    const json::object& f = frame->get_object();
    if (text_of(f, "type") == "generation") {
      out.path = "/luma/generations/" + std::string(text_of(f, "id")) + "/extend";
    } else if (const json::value* url = member(f, "url")) {
      request[field] = *url;
    }
  }
  request.erase("keyframes");
  out.body = json::serialize(request);
  return out;
}

}  // namespace

bool can_serve(protocol p, const task& t) {
  if (p == protocol::luma) return true;
  if (t.asked_at == endpoint::image) return false;
  // A station can extend a generation, nothing more.
  auto request = parse_lenient(t.request);
  if (!request || !request->is_object()) return false;
  const json::value* last = frame_at(request->get_object(), "frame1");
  return last == nullptr || text_of(last->get_object(), "type") != "generation";
}

result<outgoing> make_outgoing(const task& t, const outgoing_settings& with,
                               const id_translation& translate) {
  auto parsed = parse_lenient(t.request);
  if (!parsed || !parsed->is_object())
    return fail(errc::invalid_request, "the stored request is not an object");
  json::object& request = parsed->get_object();
  if (auto done = translate_references(request, translate); !done) {
    return std::unexpected(std::move(done.error()));
  }
  const std::string marker = marker_url(with.public_url, t);
  if (with.speaks == protocol::station) {
    if (!marker.empty()) request["notify_hook"] = json::string(marker);
    return for_station(std::move(request));
  }
  if (!marker.empty()) request["callback_url"] = json::string(marker);
  return for_luma(t, std::move(request), with.default_model);
}

std::string marker_url(const std::string& public_url, const task& t) {
  if (public_url.empty() || t.marker.empty()) return {};
  std::string out = public_url;
  while (out.ends_with('/')) out.pop_back();
  return out + marker_path(t);
}

std::string marker_path(const task& t) {
  return t.marker.empty() ? std::string{} : "/callbacks/" + t.id + "/" + t.marker;
}

bool is_marked(std::string_view url) {
  constexpr std::string_view start = "/callbacks/";
  constexpr std::size_t id_size = 36;
  const auto at = url.rfind(start);
  if (at == std::string_view::npos) return false;
  const std::string_view rest = url.substr(at + start.size());
  return rest.size() > id_size + 1 && is_uuid(rest.substr(0, id_size)) && rest[id_size] == '/' &&
         rest.find('/', id_size + 1) == std::string_view::npos;
}

std::string list_path(std::size_t limit, std::size_t offset) {
  return "/generations?limit=" + std::to_string(limit) + "&offset=" + std::to_string(offset);
}

std::string fetch_path(protocol p, const std::string& upstream_id) {
  return (p == protocol::station ? "/luma/generations/" : "/generations/") +
         upstream_id;  // see job::id: fit for a path
}

}  // namespace relay
