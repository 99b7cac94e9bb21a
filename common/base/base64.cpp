#include "common/base/base64.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace relay {
namespace {

enum : std::uint8_t { space = 64, padding = 65, other = 66 };

constexpr std::array<std::uint8_t, 256> table = [] {
  std::array<std::uint8_t, 256> out{};
  out.fill(other);
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < letters.size(); ++i)
    out[static_cast<unsigned char>(letters[i])] = static_cast<std::uint8_t>(i);
  out['-'] = 62;
  out['_'] = 63;
  out['='] = padding;
  for (const char c : {' ', '\t', '\r', '\n'}) out[static_cast<unsigned char>(c)] = space;
  return out;
}();

std::uint8_t value_of(char c) {
  return table[static_cast<unsigned char>(c)];
}

}  // namespace

bool base64_decoder::feed(std::string_view text, std::string& out) {
  std::size_t i = 0;
  while (i < text.size()) {
    // Four characters that are plain, at once.
    if (count_ == 0 && padded_ == 0 && text.size() - i >= 4) {
      const std::uint32_t a = value_of(text[i]);
      const std::uint32_t b = value_of(text[i + 1]);
      const std::uint32_t c = value_of(text[i + 2]);
      const std::uint32_t d = value_of(text[i + 3]);
      if ((a | b | c | d) < space) {
        const std::uint32_t all = a << 18 | b << 12 | c << 6 | d;
        const char three[] = {static_cast<char>(all >> 16), static_cast<char>(all >> 8),
                              static_cast<char>(all)};
        out.append(three, 3);
        i += 4;
        continue;
      }
    }
    const std::uint8_t v = value_of(text[i++]);
    if (v == space) continue;
    if (v == padding) {
      ++padded_;
      continue;
    }
    if (v == other || padded_ > 0) return false;
    bits_ = bits_ << 6 | v;
    if (++count_ < 4) continue;
    const char three[] = {static_cast<char>(bits_ >> 16), static_cast<char>(bits_ >> 8),
                          static_cast<char>(bits_)};
    out.append(three, 3);
    bits_ = 0;
    count_ = 0;
  }
  return true;
}

bool base64_decoder::finish(std::string& out) {
  // One character alone is no byte; padding, when there is some, fills the last four.
  if (count_ == 1 || (padded_ > 0 && (count_ == 0 || count_ + padded_ != 4))) return false;
  if (count_ == 2) out += static_cast<char>(bits_ >> 4);
  if (count_ == 3) {
    out += static_cast<char>(bits_ >> 10);
    out += static_cast<char>(bits_ >> 2);
  }
  return true;
}

std::string to_base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

bool is_base64(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return value_of(c) != other && c != ' ' && c != '\t'; });
}

}  // namespace relay
