#pragma once

// Text as protocols see it: ASCII letters only, whatever the locale.

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace relay {

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

inline std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return lower(c); });
  return out;
}

/// The same text, but for case.
inline bool iequals(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

/// Without spaces and tabs at the ends: optional white space of RFC 9110 §5.6.3.
constexpr std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

constexpr bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
constexpr bool is_alnum(char c) {
  return is_alpha(c) || (c >= '0' && c <= '9');
}

/// Letters, digits and some others, looked up in a table.
class char_set {
 public:
  constexpr explicit char_set(std::string_view others) {
    for (int c = 0; c < 128; ++c)
      has_[static_cast<std::size_t>(c)] =
          is_alnum(static_cast<char>(c)) || others.contains(static_cast<char>(c));
  }
  constexpr bool contains(char c) const { return at(c) != 0; }
  /// At least one character, and each of them in the set.
  constexpr bool makes(std::string_view text) const {
    // Most texts are good to the end: four at a time are looked up faster than one that may be the last.
    unsigned all = text.empty() ? 0 : 1;
    std::size_t i = 0;
    for (; i + 4 <= text.size(); i += 4)
      all &= at(text[i]) & at(text[i + 1]) & at(text[i + 2]) & at(text[i + 3]);
    for (; i < text.size(); ++i) all &= at(text[i]);
    return all != 0;
  }

 private:
  constexpr unsigned at(char c) const { return has_[static_cast<unsigned char>(c)]; }

  std::array<unsigned char, 256> has_{};  // 0 or 1
};

/// At least one character, each a letter, a digit or one of `others`.
constexpr bool is_word(std::string_view text, std::string_view others) {
  return !text.empty() &&
         std::ranges::all_of(text, [others](char c) { return is_alnum(c) || others.contains(c); });
}

}  // namespace relay
