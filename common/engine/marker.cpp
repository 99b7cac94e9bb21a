#include "common/engine/marker.hpp"

#include "common/base/id.hpp"

namespace relay {

std::string marker_url(const std::string& public_url, const task& t) {
  if (public_url.empty() || t.marker.empty()) return {};
  std::string out = public_url;
  while (out.ends_with('/')) out.pop_back();
  return out + marker_path(t);
}

std::string marker_path(const task& t) {
  return t.marker.empty() ? std::string{} : "/callbacks/" + t.id + "/" + t.marker;
}

std::optional<marked_job> parse_marker(std::string_view url) {
  constexpr std::string_view start = "/callbacks/";
  constexpr std::size_t id_size = 36;
  const auto at = url.rfind(start);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = url.substr(at + start.size());
  if (rest.size() <= id_size + 1 || !is_uuid(rest.substr(0, id_size)) || rest[id_size] != '/' ||
      rest.find('/', id_size + 1) != std::string_view::npos)
    return std::nullopt;
  return marked_job{std::string(rest.substr(0, id_size)), std::string(rest.substr(id_size + 1))};
}

bool is_marked(std::string_view url) {
  return parse_marker(url).has_value();
}

}  // namespace relay
