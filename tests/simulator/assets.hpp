#pragma once

// What a finished job of the simulator can be downloaded as.

#include <string_view>

namespace relay::sim {

std::string_view video_bytes();  // video/mp4
std::string_view image_bytes();  // image/jpeg

}  // namespace relay::sim
