#pragma once

// The system's randomness, as an argument for the pure code.

#include <openssl/rand.h>

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

inline id_entropy random_for_id() {
  id_entropy e;
  fill_random(e);
  return e;
}

/// 128 bits as 32 hexadecimal digits, for addresses that cannot be guessed.
inline std::string random_word() {
  static constexpr char hex[] = "0123456789abcdef";
  unsigned char bytes[16];
  fill_random(bytes);
  std::string out;
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
