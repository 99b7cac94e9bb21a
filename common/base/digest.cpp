#include "common/base/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

namespace relay {
namespace {

// Fetched once: a lookup by name for each digest costs four times the digest itself.
const EVP_MD* algorithm() {
  static const std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> md{EVP_MD_fetch(nullptr, "SHA256", nullptr),
                                                                  &EVP_MD_free};
  if (!md) throw std::runtime_error("OpenSSL offers no SHA-256");
  return md.get();
}

}  // namespace

sha256_digest sha256(std::string_view text) {
  sha256_digest out;
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), out.data(), &size, algorithm(), nullptr) != 1 ||
      size != out.size()) {
    throw std::runtime_error("SHA-256 failed");
  }
  return out;
}

bool same_digest(const sha256_digest& a, const sha256_digest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool same_text(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace relay
