#pragma once

// Files of the types that Luma takes, as small as they may be or as large as a test needs, and their base64.

#include <openssl/evp.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace relay::test {

/// Begins as a PNG; the rest are bytes that depend on `seed`.
inline std::string png(std::size_t bytes = 200, std::uint32_t seed = 1) {
  std::string out("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
  out.reserve(bytes);
  while (out.size() < bytes) out += static_cast<char>((seed = seed * 1'664'525 + 1'013'904'223) >> 24);
  return out;
}

inline std::string mp4(std::size_t bytes = 200) {
  return std::string("\0\0\0\x18", 4) + "ftypisom" + png(bytes);
}

inline std::string jpeg(std::size_t bytes = 200) {
  return "\xff\xd8\xff\xe0" + png(bytes);
}

inline std::string in_base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

inline std::string data_uri(std::string_view bytes, std::string_view media_type = "image/png") {
  return "data:" + std::string(media_type) + ";base64," + in_base64(bytes);
}

}  // namespace relay::test
