#include "common/base/file_type.hpp"

#include <algorithm>

#include "common/base/ascii.hpp"

namespace relay {
namespace {

using namespace std::string_view_literals;

struct row {
  file_type type;
  std::string_view suffix;
  std::string_view media_type;
};
constexpr row rows[] = {{file_type::png, "png", "image/png"},
                        {file_type::jpeg, "jpg", "image/jpeg"},
                        {file_type::webp, "webp", "image/webp"},
                        {file_type::gif, "gif", "image/gif"},
                        {file_type::mp4, "mp4", "video/mp4"}};

const row& row_of(file_type t) {
  return *std::ranges::find(rows, t, &row::type);
}

// ISO/IEC 14496-12 §4.3: the box that says which. HEIF pictures and QuickTime have the same box.
bool is_mp4(std::string_view bytes) {
  constexpr std::string_view brands[] = {"isom", "iso2", "iso3", "iso4", "iso5", "iso6", "iso7", "iso8",
                                         "iso9", "mp41", "mp42", "avc1", "M4V ", "dash", "mmp4"};
  if (bytes.size() < 12 || bytes.substr(4, 4) != "ftyp") return false;
  return std::ranges::find(brands, bytes.substr(8, 4)) != std::end(brands);
}

}  // namespace

std::optional<file_type> type_of(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n"sv)) return file_type::png;
  if (bytes.starts_with("\xff\xd8\xff"sv)) return file_type::jpeg;
  if (bytes.starts_with("GIF87a"sv) || bytes.starts_with("GIF89a"sv)) return file_type::gif;
  if (bytes.starts_with("RIFF"sv) && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP")
    return file_type::webp;
  if (is_mp4(bytes)) return file_type::mp4;
  return std::nullopt;
}

std::string_view suffix_of(file_type t) {
  return row_of(t).suffix;
}

std::optional<file_type> type_from_suffix(std::string_view suffix) {
  const auto found = std::ranges::find(rows, suffix, &row::suffix);
  return found != std::end(rows) ? std::optional(found->type) : std::nullopt;
}

std::string_view media_type_of(file_type t) {
  return row_of(t).media_type;
}

std::optional<file_type> type_from_media_type(std::string_view media_type) {
  const std::string name = lower(trim(media_type.substr(0, media_type.find(';'))));
  if (name == "image/jpg") return file_type::jpeg;
  const auto found = std::ranges::find(rows, std::string_view(name), &row::media_type);
  return found != std::end(rows) ? std::optional(found->type) : std::nullopt;
}

}  // namespace relay
