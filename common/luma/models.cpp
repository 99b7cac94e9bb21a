#include "common/luma/models.hpp"

namespace relay::luma {

bool is_billing_name(std::string_view name) {
  return name.starts_with("luma_video") || name == "dream-machine";
}

std::string_view station_model(std::string_view name) {
  if (name == "ray-2") return "ray-v2";
  if (name == "ray-1-6") return "ray-v1";
  return name;
}

}  // namespace relay::luma
