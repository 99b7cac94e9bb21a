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

bool is_marked(std::string_view url) {
  constexpr std::string_view start = "/callbacks/";
  constexpr std::size_t id_size = 36;
  const auto at = url.rfind(start);
  if (at == std::string_view::npos) return false;
  const std::string_view rest = url.substr(at + start.size());
  return rest.size() > id_size + 1 && is_uuid(rest.substr(0, id_size)) && rest[id_size] == '/' &&
         rest.find('/', id_size + 1) == std::string_view::npos;
}

}  // namespace relay
