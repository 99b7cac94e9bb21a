#pragma once

// Eight bytes of a text looked at in one step. Each function returns a mask with the high bit of the bytes
// that are meant; a borrow may mark bytes above the first of these too, never one below it. 0: none is meant.

#include <cstdint>
#include <cstring>

namespace relay::eight_bytes {

constexpr std::uint64_t each(unsigned char byte) {
  return 0x0101010101010101u * byte;
}

inline std::uint64_t at(const char* p) {
  std::uint64_t out = 0;
  std::memcpy(&out, p, sizeof out);
  return out;
}

constexpr std::uint64_t below(std::uint64_t bytes, unsigned char limit) {
  return (bytes - each(limit)) & ~bytes & each(0x80);
}

constexpr std::uint64_t equal(std::uint64_t bytes, unsigned char byte) {
  return below(bytes ^ each(byte), 1);
}

}  // namespace relay::eight_bytes
