#pragma once

// A hash of short texts such as ids, inlined: the standard library's costs three times as much for 36 bytes.
// Without a seed: for tables of our own ids, or of so few keys of a client that their order does not matter.

#include <cstdint>
#include <cstring>
#include <string_view>

namespace relay {

struct text_hash {
  using is_avalanching =
      void;  // each bit of a text changes half of the hash: Boost.Unordered need not mix it

  std::size_t operator()(std::string_view text) const noexcept {
    std::uint64_t h = text.size() * 0x9e3779b97f4a7c15U;
    const char* p = text.data();
    std::size_t left = text.size();
    for (; left >= 8; left -= 8, p += 8) h = mixed(h, p, 8);
    if (left > 0) h = mixed(h, p, left);
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93U;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93U;
    return static_cast<std::size_t>(h ^ (h >> 32));
  }

 private:
  static std::uint64_t mixed(std::uint64_t h, const char* p, std::size_t bytes) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, p, bytes);
    h = (h ^ word) * 0x9fb21c651e98df25U;
    return h ^ (h >> 29);
  }
};

}  // namespace relay
