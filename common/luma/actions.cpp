#include "common/luma/actions.hpp"

#include <algorithm>

#include "common/base/id.hpp"
#include "common/luma/protocol_station.hpp"
#include "common/luma/request.hpp"
#include "common/luma/schemas.hpp"
#include "common/luma/validation.hpp"

namespace relay::luma {
namespace {

using enum echo_field::otherwise;

constexpr std::string_view aspect_ratios[] = {"1:1", "16:9", "9:16", "4:3", "3:4", "21:9", "9:21"};
constexpr std::string_view formats[] = {"jpg", "png"};
constexpr std::string_view modes[] = {"adhere_1", "adhere_2",    "adhere_3",    "flex_1",     "flex_2",
                                      "flex_3",   "reimagine_1", "reimagine_2", "reimagine_3"};
constexpr std::string_view video_type[] = {"video"};
constexpr std::string_view image_type[] = {"image"};
constexpr std::string_view reframe_image_type[] = {"reframe_image"};
constexpr std::string_view reframe_video_type[] = {"reframe_video"};
constexpr std::string_view modify_video_type[] = {"modify_video"};
constexpr std::string_view upscale_type[] = {"upscale_video"};
constexpr std::string_view audio_type[] = {"add_audio"};

template <class T, std::size_t First, std::size_t Second>
constexpr std::array<T, First + Second> joined(const std::array<T, First>& a,
                                               const std::array<T, Second>& b) {
  std::array<T, First + Second> out{};
  std::ranges::copy(b, std::ranges::copy(a, out.begin()).out);
  return out;
}

constexpr field_rule one_of(std::string_view name, std::span<const std::string_view> words,
                            bool required = false) {
  return {name, shape::word, required, {}, words};
}

constexpr field_rule video_fields[] = {{"model"},
                                       one_of("generation_type", video_type),
                                       one_of("aspect_ratio", aspect_ratios),
                                       {"resolution"},
                                       {"duration"},
                                       {"loop", shape::flag},
                                       {"expand_prompt", shape::flag},
                                       {"keyframes", shape::frames},
                                       {"concepts", shape::any}};
// The aliases are @ai-sdk/luma's.
constexpr field_rule image_fields[] = {{"model"},
                                       one_of("generation_type", image_type),
                                       one_of("aspect_ratio", aspect_ratios),
                                       {"sync", shape::flag},
                                       {"sync_timeout", shape::number},
                                       one_of("format", formats),
                                       {"image_ref", shape::pictures, false, "image"},
                                       {"style_ref", shape::pictures, false, "style"},
                                       {"character_ref", shape::identities, false, "character"},
                                       {"modify_image_ref", shape::picture, false, "modify_image"}};
constexpr field_rule upscale_fields[] = {one_of("generation_type", upscale_type), {"resolution"}};
constexpr field_rule audio_fields[] = {
    one_of("generation_type", audio_type), {"prompt"}, {"negative_prompt"}};
// Where the frame lies in the larger one.
constexpr std::array frame_fields = {
    field_rule{"grid_position_x", shape::whole}, field_rule{"grid_position_y", shape::whole},
    field_rule{"x_start", shape::whole},         field_rule{"x_end", shape::whole},
    field_rule{"y_start", shape::whole},         field_rule{"y_end", shape::whole},
    field_rule{"resized_width", shape::whole},   field_rule{"resized_height", shape::whole}};
constexpr auto image_reframe_fields =
    joined(std::array{field_rule{"model", shape::text, true}, one_of("generation_type", reframe_image_type),
                      one_of("aspect_ratio", aspect_ratios, true), field_rule{"media", shape::file, true},
                      one_of("format", formats)},
           frame_fields);
constexpr auto video_reframe_fields =
    joined(std::array{field_rule{"model"}, one_of("generation_type", reframe_video_type),
                      one_of("aspect_ratio", aspect_ratios, true), field_rule{"media", shape::file, true},
                      field_rule{"first_frame", shape::file}},
           frame_fields);
constexpr field_rule video_modify_fields[] = {{"model"},
                                              one_of("generation_type", modify_video_type),
                                              {"media", shape::file, true},
                                              one_of("mode", modes, true),
                                              {"first_frame", shape::file}};

constexpr echo_field video_echo[] = {{"prompt"},   {"loop", no}, {"keyframes"},          {"resolution"},
                                     {"duration"}, {"concepts"}, {"aspect_ratio", wide}, {"model"}};
constexpr echo_field image_echo[] = {
    {"prompt"},        {"format"},           {"image_ref"},          {"style_ref"},
    {"character_ref"}, {"modify_image_ref"}, {"aspect_ratio", wide}, {"model"}};
constexpr echo_field upscale_echo[] = {{"resolution"}};
constexpr echo_field audio_echo[] = {{"prompt"}, {"negative_prompt"}};

constexpr std::array frame_echo = {echo_field{"grid_position_x"}, echo_field{"grid_position_y"},
                                   echo_field{"x_start"},         echo_field{"x_end"},
                                   echo_field{"y_start"},         echo_field{"y_end"},
                                   echo_field{"resized_width"},   echo_field{"resized_height"}};
constexpr auto image_reframe_echo =
    joined(std::array{echo_field{"prompt"}, echo_field{"format"}}, frame_echo);
constexpr auto video_reframe_echo =
    joined(std::array{echo_field{"prompt"}, echo_field{"first_frame"}, echo_field{"model"}}, frame_echo);
constexpr echo_field video_modify_echo[] = {{"prompt"}, {"first_frame"}, {"model"}};

constexpr reference_place keyframes[] = {{"keyframes", "frame0"}, {"keyframes", "frame1"}};
constexpr reference_place path_id[] = {{}};

constexpr std::string_view platform = "luma";

// What every row says. The rest is as for a video.
struct kind {
  std::string_view name, path, envelope, shown_type, request_type;
  std::span<const field_rule> fields;
  std::span<const echo_field> echo;
};

constexpr action row(const kind& k) {
  action out{};
  out.platform = platform;
  out.name = k.name;
  out.describe = describe;
  out.settle_model = settle_model;
  out.request_schema = request_schema;
  out.path = k.path;
  out.envelope = k.envelope;
  out.generation_type = k.shown_type;
  out.request_type = k.request_type;
  out.fields = k.fields;
  out.echo = k.echo;
  return out;
}

// A video, whichever of the two paths it came on.
constexpr action video_row(std::string_view name, std::string_view path) {
  action out = row({name, path, "LUMA_VIDEO", "video", "video", video_fields, video_echo});
  out.pictures_go = "keyframes.frame0 and keyframes.frame1";
  out.check = check_video;
  out.references = keyframes;
  out.for_station = video_for_station;
  return out;
}

constexpr action image_row() {
  action out = row({"image", "/generations/image", "LUMA_IMAGE", "image", "image", image_fields, image_echo});
  out.pictures_go = "image_ref, style_ref, character_ref and modify_image_ref";
  out.check = check_image;
  out.previews = false;
  out.default_model = false;
  return out;
}

// What builds on a finished generation. Its echo does not name that generation.
constexpr action derived_row(kind k) {
  action out = row(k);
  out.references = path_id;
  out.echo_identifies = false;
  out.default_model = false;
  return out;
}

// What is made of a file somewhere.
constexpr action media_row(kind k) {
  action out = row(k);
  const bool is_video = k.shown_type == "video";
  out.pictures_go = is_video ? "media and first_frame" : "media";
  out.check = check_media;
  out.previews = is_video;
  out.default_model = is_video;
  out.type_is_sent = true;
  return out;
}

}  // namespace

constinit const action actions::generations = video_row("generations", "/generations");
constinit const action actions::video = video_row("video", "/generations/video");
constinit const action actions::image = image_row();
constinit const action actions::upscale =
    derived_row({"upscale", "/generations/{id}/upscale", "LUMA_UPSCALE", "video", "upscale_video",
                 upscale_fields, upscale_echo});
constinit const action actions::audio = derived_row(
    {"audio", "/generations/{id}/audio", "LUMA_AUDIO", "video", "add_audio", audio_fields, audio_echo});
constinit const action actions::image_reframe =
    media_row({"image-reframe", "/generations/image/reframe", "LUMA_IMAGE_REFRAME", "image", "reframe_image",
               image_reframe_fields, image_reframe_echo});
constinit const action actions::video_reframe =
    media_row({"video-reframe", "/generations/video/reframe", "LUMA_VIDEO_REFRAME", "video", "reframe_video",
               video_reframe_fields, video_reframe_echo});
constinit const action actions::video_modify =
    media_row({"video-modify", "/generations/video/modify", "LUMA_VIDEO_MODIFY", "video", "modify_video",
               video_modify_fields, video_modify_echo});

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
