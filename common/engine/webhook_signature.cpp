#include "common/engine/webhook_signature.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdexcept>

#include "common/base/base64.hpp"

namespace relay {
std::string webhook_secret_text(const secret& bytes) {
  return "whsec_" + to_base64(bytes.reveal());
}

std::string webhook_signature(const secret& bytes, std::string_view id, std::int64_t unix_seconds,
                              std::string_view body) {
  std::string message;
  message.reserve(id.size() + body.size() + 24);
  message.append(id).append(".").append(std::to_string(unix_seconds)).append(".").append(body);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const std::string& key = bytes.reveal();
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), mac, &size) == nullptr) {
    throw std::runtime_error("HMAC-SHA256 failed");
  }
  return "v1," + to_base64({reinterpret_cast<const char*>(mac), size});
}

}  // namespace relay
