#pragma once

// The system's randomness, as arguments for the pure code.

#include <openssl/rand.h>

#include <random>
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

/// [0, 1), for jitter: seeded from the system, not for secrets. One generator a thread.
inline double random_share() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

inline timestamp wall_now() {
  return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
}

}  // namespace relay
