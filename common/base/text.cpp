#include "common/base/text.hpp"

#include <algorithm>
#include <array>

#include "common/base/eight_bytes.hpp"

namespace relay {

std::string_view cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  std::size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

namespace {

// Bytes of the character that the text begins with; 0: it begins with none.
std::size_t character_at(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, and what is beyond U+10FFFF.
  const bool wrong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F) ||
                     (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F);
  return wrong ? 0 : size;
}

}  // namespace

std::string as_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t size = character_at(text);
    out.append(size > 0 ? text.substr(0, size) : "\uFFFD");
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return out;
}

namespace {

// append_for_log() leaves it as it is. Most texts are like that: what the relay is asked for, and its own
// sentences.
bool all_plain(std::string_view text) {
  using namespace eight_bytes;
  if (text.size() < 8) return false;
  const auto special = [](const char* p) {
    const std::uint64_t eight = at(p);
    return below(eight, 0x20) | equal(eight, '"') | equal(eight, '\\') | equal(eight, 0x7f);
  };
  // The last eight overlap those before them.
  std::uint64_t found = special(text.data() + text.size() - 8);
  for (std::size_t i = 0; i + 8 <= text.size(); i += 8) found |= special(text.data() + i);
  return found == 0;
}

}  // namespace

void append_for_log(std::string& out, std::string_view text, std::size_t limit) {
  static constexpr char hex[] = "0123456789abcdef";
  static constexpr auto is_special = [] {
    std::array<bool, 256> table{};
    for (std::size_t c = 0; c < 0x20; ++c) table[c] = true;
    table['"'] = table['\\'] = table[0x7f] = true;
    return table;
  }();
  const std::string_view part = cut(text, limit);
  std::size_t plain = 0;  // where what is not yet copied begins
  for (std::size_t i = all_plain(part) ? part.size() : 0; i < part.size(); ++i) {
    const auto c = static_cast<unsigned char>(part[i]);
    if (!is_special[c]) continue;
    out.append(part, plain, i - plain);
    plain = i + 1;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += part[i];
    } else {
      out += "\\x";
      out += hex[c >> 4];
      out += hex[c & 15];
    }
  }
  out.append(part, plain);
  if (part.size() < text.size()) out += "…";
}

std::string for_log(std::string_view text, std::size_t limit) {
  std::string out;
  append_for_log(out, text, limit);
  return out;
}

}  // namespace relay
