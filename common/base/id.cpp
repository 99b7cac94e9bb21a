#include "common/base/id.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "common/base/ascii.hpp"

namespace relay {

std::string make_id(timestamp now, const id_entropy& random) {
  std::array<unsigned char, 16> bytes;
  const auto millis = static_cast<std::uint64_t>(
      std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch().count());
  for (int i = 0; i < 6; ++i) bytes[i] = static_cast<unsigned char>(millis >> (40 - 8 * i));
  std::copy(random.begin(), random.end(), bytes.begin() + 6);
  bytes[6] = static_cast<unsigned char>(0x70 | (bytes[6] & 0x0f));  // version 7
  bytes[8] = static_cast<unsigned char>(0x80 | (bytes[8] & 0x3f));  // variant 10
  static constexpr char hex[] = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += hex[bytes[i] >> 4];
    text += hex[bytes[i] & 15];
  }
  return text;
}

namespace {

constexpr unsigned char capital = 1;
constexpr unsigned char no_digit = 2;

constexpr std::array<unsigned char, 256> digits = [] {
  std::array<unsigned char, 256> out{};
  out.fill(no_digit);
  for (const char c : std::string_view("0123456789abcdef")) out[static_cast<unsigned char>(c)] = 0;
  for (const char c : std::string_view("ABCDEF")) out[static_cast<unsigned char>(c)] = capital;
  return out;
}();

// 0: a UUID in lower case; `capital`: one with capitals; else none.
unsigned form_of(std::string_view text) {
  if (text.size() != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
    return no_digit;
  unsigned form = 0;
  const auto run = [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) form |= digits[static_cast<unsigned char>(text[i])];
  };
  run(0, 8);
  run(9, 13);
  run(14, 18);
  run(19, 23);
  run(24, 36);
  return form;
}

}  // namespace

bool is_uuid(std::string_view text) {
  return form_of(text) < no_digit;
}

std::string normalise_id(std::string_view text) {
  return form_of(text) == capital ? lower(text) : std::string(text);
}

}  // namespace relay
