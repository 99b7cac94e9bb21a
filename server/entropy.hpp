#pragma once

// The system's randomness, as an argument for the pure code.

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <random>
#include <span>
#include <stdexcept>
#include <string>

#include "common/base/id.hpp"

namespace relay {

/// Throws std::runtime_error when the system's generator fails.
inline void fill_random(std::span<unsigned char> out) {
  if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) throw std::runtime_error("no randomness");
}

/// The same in small amounts, out of a kilobyte that is fetched at once and wiped as it is used. One a
/// thread.
inline void fill_random_few(std::span<unsigned char> out) {
  struct pool {
    std::array<unsigned char, 1024> bytes;
    std::size_t used = bytes.size();
  };
  thread_local pool p;
  if (out.size() > p.bytes.size() - p.used) {
    fill_random(p.bytes);
    p.used = 0;
  }
  const auto from = std::span(p.bytes).subspan(p.used, out.size());
  std::ranges::copy(from, out.begin());
  OPENSSL_cleanse(from.data(), from.size());
  p.used += out.size();
}

inline id_entropy random_for_id() {
  id_entropy e;
  fill_random_few(e);
  return e;
}

/// 128 bits as 32 hexadecimal digits, for addresses that cannot be guessed.
inline std::string random_word() {
  static constexpr char hex[] = "0123456789abcdef";
  unsigned char bytes[16];
  fill_random_few(bytes);
  std::string out;
  out.reserve(2 * sizeof bytes);
  for (const unsigned char b : bytes) {
    out += hex[b >> 4];
    out += hex[b & 15];
  }
  return out;
}

/// [0, 1), for jitter: seeded from the system, not for secrets. One generator a thread.
inline double random_share() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

}  // namespace relay
