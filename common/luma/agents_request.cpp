#include "common/luma/agents_request.hpp"

#include <algorithm>

#include "common/base/ascii.hpp"
#include "common/base/text.hpp"
#include "common/luma/request.hpp"

namespace relay::luma {
namespace {

constexpr std::size_t longest_prompt = 6'000;  // code points
constexpr std::size_t most_references = 9;
constexpr std::string_view video_models[] = {"ray-3.2"};
constexpr std::string_view image_models[] = {"uni-1", "uni-1-max"};
constexpr std::string_view video_ratios[] = {"9:16", "3:4", "1:1", "4:3", "16:9", "21:9"};
constexpr std::string_view image_ratios[] = {"3:1", "2:1", "16:9", "3:2", "1:1", "2:3", "9:16", "1:2", "1:3"};
constexpr std::string_view durations[] = {"5s", "10s"};
constexpr std::string_view resolutions[] = {"360p", "540p", "720p", "1080p"};
// Where the frame lies in the larger one: pixels there, shares of the canvas here.
constexpr std::string_view frame_fields[] = {"grid_position_x", "grid_position_y", "x_start",
                                             "x_end",           "y_start",         "y_end",
                                             "resized_width",   "resized_height"};
// What it takes as it comes, at the top.
constexpr std::string_view passed_on[] = {"web_search", "user_id", "output_format"};

std::string list_of(std::span<const std::string_view> words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

// One request being translated; the first problem is the one that is told.
class translation {
 public:
  translation(const action& a, const json::object& from, const outgoing_settings& with)
      : action_(a), from_(from), with_(with) {}

  result<json::object> run() {
    if (&action_ == &actions::generations || &action_ == &actions::video) {
      video();
    } else if (&action_ == &actions::image) {
      image();
    } else if (&action_ == &actions::video_reframe) {
      reframe();
    } else if (&action_ == &actions::video_modify) {
      modify();
    } else {
      refuse(std::string(action_.name) + " is not offered by the agents API");
    }
    if (!problem_.empty()) return fail(errc::invalid_request, problem_);
    if (!options_.empty()) out_["video"] = std::move(options_);
    return std::move(out_);
  }

 private:
  void refuse(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
  }

  // What every type has.
  void begin(std::string_view type, std::span<const std::string_view> models,
             std::span<const std::string_view> ratios) {
    out_["type"] = json::string(type);
    const std::string model = own_model(from_, action_, with_);
    if (std::ranges::find(models, model) == models.end())
      refuse("model: " + (model.empty() ? std::string("one") : model) + " is not offered for " +
             std::string(type) + ", " + list_of(models) + " is");
    out_["model"] = json::string(model);
    const std::string_view prompt = text_of(from_, "prompt");
    const std::size_t length = code_points(prompt);
    if (length == 0) refuse("prompt: is required for " + std::string(type));
    if (length > longest_prompt) refuse("prompt: must have at most 6000 characters");
    out_["prompt"] = json::string(prompt);
    if (!ratios.empty()) out_["aspect_ratio"] = json::string(word("aspect_ratio", ratios, "16:9"));
    for (const std::string_view name : passed_on) {
      if (const json::value* v = member(from_, name)) out_[name] = *v;
    }
  }

  std::string_view word(std::string_view name, std::span<const std::string_view> words,
                        std::string_view otherwise) {
    const std::string_view given = text_of(from_, name);
    if (given.empty()) return otherwise;
    if (std::ranges::find(words, given) == words.end())
      refuse(std::string(name) + ": must be " + list_of(words) + ", not " + std::string(given));
    return given;
  }

  void option(json::string_view name, std::span<const std::string_view> words) {
    const std::string_view value = word(name, words, "");
    if (!value.empty()) options_[name] = json::string(value);
  }

  void without(std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
      const json::value* v = member(from_, name);
      const bool empty = v == nullptr || (v->is_array() && v->get_array().empty()) ||
                         (v->is_object() && v->get_object().empty());
      if (!empty) refuse(std::string(name) + ": is not offered by the agents API");
    }
  }

  static json::object link(std::string_view url) { return {{"url", json::string(url)}}; }

  // A frame is a picture, or a video that this one goes on from.
  bool frame(std::string_view name, json::string_view as) {
    const json::value* keyframes = member(from_, "keyframes");
    const json::value* f = keyframes != nullptr ? member(*keyframes, name) : nullptr;
    if (f == nullptr || !f->is_object()) return false;
    const json::object& o = f->get_object();
    if (text_of(o, "type") == "generation")
      options_[as] = {{"generation_id", json::string(text_of(o, "id"))}};
    else
      options_[as] = link(text_of(o, "url"));
    return true;
  }

  void video() {
    begin("video", video_models, video_ratios);
    without({"concepts"});
    option("duration", durations);
    option("resolution", resolutions);
    const bool starts = frame("frame0", "start_frame");
    const bool ends = frame("frame1", "end_frame");
    const json::value* loop = member(from_, "loop");
    const bool loops = loop != nullptr && loop->is_bool() && loop->get_bool();
    if (loops) options_["loop"] = true;
    if (text_of(from_, "duration") != "10s") return;
    if (starts || ends) refuse("duration: must be 5s with keyframes");
    if (loops) refuse("duration: must be 5s with loop");
  }

  void image() {
    const json::value* source = member(from_, "modify_image_ref");
    begin(source != nullptr ? "image_edit" : "image", image_models, image_ratios);
    without({"style_ref", "character_ref"});
    if (source != nullptr && source->is_object()) out_["source"] = link(text_of(source->get_object(), "url"));
    if (const json::value* list = member(from_, "image_ref"); list != nullptr && list->is_array()) {
      const std::size_t most = source != nullptr ? most_references - 1 : most_references;
      if (list->get_array().size() > most)
        refuse("image_ref: must have at most " + std::to_string(most) + " pictures");
      json::array references;
      for (const json::value& item : list->get_array()) {
        if (item.is_object()) references.push_back(link(text_of(item.get_object(), "url")));
      }
      if (!references.empty()) out_["image_ref"] = std::move(references);
    }
    if (const std::string_view format = text_of(from_, "format"); !format.empty())
      out_["output_format"] = json::string(format == "jpg" ? "jpeg" : format);
  }

  // The file that a video is made of. It is told what that is before it fetches it.
  void source() {
    const json::value* media = member(from_, "media");
    const std::string_view url =
        media != nullptr && media->is_object() ? text_of(media->get_object(), "url") : std::string_view{};
    if (url.empty()) refuse("media.url: is required");
    const std::string path = lower(url.substr(0, url.find_first_of("?#")));
    const std::string_view type = path.ends_with(".mov")    ? "video/quicktime"
                                  : path.ends_with(".webm") ? "video/webm"
                                                            : "video/mp4";
    out_["source"] = {{"url", json::string(url)}, {"media_type", json::string(type)}};
  }

  void reframe() {
    begin("video_reframe", video_models, video_ratios);
    source();
    option("resolution", resolutions);
    without({"first_frame"});
    for (const std::string_view name : frame_fields) without({name});
  }

  void modify() {
    begin("video_edit", video_models, {});
    source();
    option("resolution", resolutions);
    options_["edit"] = {{"strength", json::string(text_of(from_, "mode"))}};  // the same nine words
    const json::value* first = member(from_, "first_frame");
    if (first != nullptr && first->is_object())
      options_["start_frame"] = link(text_of(first->get_object(), "url"));
  }

  const action& action_;
  const json::object& from_;
  const outgoing_settings& with_;
  json::object out_;
  json::object options_;
  std::string problem_;
};

}  // namespace

result<json::object> agents_request(const action& a, const json::object& request,
                                    const outgoing_settings& with) {
  return translation(a, request, with).run();
}

}  // namespace relay::luma
