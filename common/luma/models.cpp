#include "common/luma/models.hpp"

namespace relay::luma {

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

}  // namespace relay::luma
