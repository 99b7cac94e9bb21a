#pragma once

// The files of a result, in both the official and the web-app form, whichever of the two the upstream sent.

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/json.hpp"

namespace relay::luma {

/// Each an object or null. All but `assets` are the web app's, and null until the job is completed.
struct media_objects {
  explicit media_objects(const json::storage_ptr& memory)
      : assets(memory),
        video(memory),
        video_raw(memory),
        thumbnail(memory),
        last_frame(memory),
        artifact(memory) {}

  json::value assets, video, video_raw, thumbnail, last_frame, artifact;
};

/// The frame size the request implies: aspect ratio at the named resolution (720p when absent). The official
/// API does not report sizes, the web-app shape has them.
struct frame_size {
  int width = 0;
  int height = 0;
};
frame_size nominal_size(std::string_view aspect_ratio, std::string_view resolution);

/// What the request says of the result.
struct expected_media {
  frame_size size;
  std::optional<std::int64_t> seconds;  // nullopt: it says nothing of that
  bool is_video = true;
};
/// "5s", "9s": 5, 9; nullopt: it is no such text.
std::optional<std::int64_t> nominal_seconds(std::string_view duration);

/// Fills in, for a completed job, what one form of `reported` says and the other form lacks, and what only
/// the request says. A video has all its objects, each with every member: null, where nothing is known.
/// `assets` is set already.
void complete(media_objects& m, const json::object& reported, const expected_media& expected);

}  // namespace relay::luma
