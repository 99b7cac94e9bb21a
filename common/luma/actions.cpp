#include "common/luma/actions.hpp"

#include "common/base/id.hpp"
#include "common/luma/protocol_station.hpp"
#include "common/luma/validation.hpp"

namespace relay::luma {
namespace {

using enum echo_field::otherwise;

constexpr field_rule video_fields[] = {
    {"model"},      {"generation_type"}, {"aspect_ratio", shape::aspect_ratio},
    {"resolution"}, {"duration"},        {"loop", shape::flag}};
// The aliases are @ai-sdk/luma's.
constexpr field_rule image_fields[] = {{"model"},
                                       {"generation_type"},
                                       {"aspect_ratio", shape::aspect_ratio},
                                       {"sync", shape::flag},
                                       {"format"},
                                       {"image_ref", shape::list, false, "image"},
                                       {"style_ref", shape::list, false, "style"},
                                       {"character_ref", shape::object, false, "character"},
                                       {"modify_image_ref", shape::object, false, "modify_image"}};
constexpr field_rule upscale_fields[] = {{"generation_type"}, {"resolution"}};
constexpr field_rule audio_fields[] = {{"generation_type"}, {"prompt"}, {"negative_prompt"}};

constexpr echo_field video_echo[] = {{"prompt"},   {"loop", no}, {"keyframes"},          {"resolution"},
                                     {"duration"}, {"concepts"}, {"aspect_ratio", wide}, {"model"}};
constexpr echo_field image_echo[] = {
    {"prompt"},        {"format"},           {"image_ref"},          {"style_ref"},
    {"character_ref"}, {"modify_image_ref"}, {"aspect_ratio", wide}, {"model"}};
constexpr echo_field upscale_echo[] = {{"resolution"}};
constexpr echo_field audio_echo[] = {{"prompt"}, {"negative_prompt"}};

constexpr reference_place keyframes[] = {{"keyframes", "frame0"}, {"keyframes", "frame1"}};
constexpr reference_place path_id[] = {{}};

constexpr std::string_view platform = "luma";

// A video, whichever of the two paths it came on.
constexpr action video_row(std::string_view name, std::string_view path) {
  return {{platform, name}, path,       "LUMA_VIDEO", "video", "video", video_fields,     check_video,
          keyframes,        video_echo, true,         true,    true,    video_for_station};
}

// What builds on a finished generation. Its echo does not name that generation.
constexpr action derived_row(std::string_view name, std::string_view path, std::string_view envelope,
                             std::string_view request_type, std::span<const field_rule> fields,
                             std::span<const echo_field> echo) {
  return {{platform, name}, path, envelope, "video", request_type, fields, nullptr,
          path_id,          echo, false,    true,    false,        nullptr};
}

}  // namespace

constinit const action actions::generations = video_row("generations", "/generations");
constinit const action actions::video = video_row("video", "/generations/video");
constinit const action actions::image = {{platform, "image"},
                                         "/generations/image",
                                         "LUMA_IMAGE",
                                         "image",
                                         "image",
                                         image_fields,
                                         check_image,
                                         {},
                                         image_echo,
                                         true,
                                         false,
                                         false,
                                         nullptr};
constinit const action actions::upscale = derived_row("upscale", "/generations/{id}/upscale", "LUMA_UPSCALE",
                                                      "upscale_video", upscale_fields, upscale_echo);
constinit const action actions::audio =
    derived_row("audio", "/generations/{id}/audio", "LUMA_AUDIO", "add_audio", audio_fields, audio_echo);

json::object* reference_at(json::object& request, const reference_place& place) {
  if (place.parent.empty()) return request.contains("id") ? &request : nullptr;
  json::value* parent = request.if_contains(place.parent);
  if (parent == nullptr || !parent->is_object()) return nullptr;
  json::value* child = parent->get_object().if_contains(place.child);
  if (child == nullptr || !child->is_object()) return nullptr;
  json::object& holder = child->get_object();
  return text_of(holder, "type") == "generation" ? &holder : nullptr;
}

std::vector<reference> references_in(const action& a, const json::object& request) {
  std::vector<reference> out;
  for (const reference_place& place : a.references) {
    // The object is not changed here.
    const json::object* holder = reference_at(const_cast<json::object&>(request), place);
    if (holder == nullptr) continue;
    out.push_back(
        {normalise_id(text_of(*holder, "id")), std::string(place.parent.empty() ? "id" : place.parent)});
  }
  return out;
}

}  // namespace relay::luma
