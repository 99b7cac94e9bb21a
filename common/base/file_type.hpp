#pragma once

// What a file is, by its first bytes: the pictures and the video that Luma takes. Pure.

#include <cstdint>
#include <optional>
#include <string_view>

namespace relay {

enum class file_type : std::uint8_t { png, jpeg, webp, gif, mp4 };

/// Bytes that type_of() needs, of a file that has as many.
inline constexpr std::size_t file_type_bytes = 16;

/// nullopt: none of them.
std::optional<file_type> type_of(std::string_view first_bytes);

/// "png", "jpg", …
std::string_view suffix_of(file_type t);
std::optional<file_type> type_from_suffix(std::string_view suffix);
/// "image/png", "video/mp4", …; a literal.
std::string_view media_type_of(file_type t);
/// Of a media type as a client names it, without parameters, in any case.
std::optional<file_type> type_from_media_type(std::string_view media_type);

inline bool is_picture(file_type t) {
  return t != file_type::mp4;
}

}  // namespace relay
