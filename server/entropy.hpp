#pragma once

// The system's randomness, as arguments for the pure code.

#include <openssl/rand.h>

#include <span>
#include <stdexcept>

#include "common/id.hpp"

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

/// [0, 1), for jitter.
inline double random_share() {
  unsigned char b[2];
  fill_random(b);
  return (b[0] * 256 + b[1]) / 65536.0;
}

inline timestamp wall_now() {
  return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

}  // namespace relay
