#include "common/luma/action.hpp"

#include <cstddef>
#include <iterator>

namespace relay {
namespace {

constexpr endpoint_info table[] = {
    {"generations", "/generations", "LUMA_VIDEO", "video"},
    {"video", "/generations/video", "LUMA_VIDEO", "video"},
    {"image", "/generations/image", "LUMA_IMAGE", "image"},
};

}  // namespace

const endpoint_info& info(endpoint e) {
  return table[static_cast<std::size_t>(e)];
}

std::optional<endpoint> endpoint_from(std::string_view name) {
  for (std::size_t i = 0; i < std::size(table); ++i) {
    if (table[i].name == name) return static_cast<endpoint>(i);
  }
  return std::nullopt;
}

}  // namespace relay
