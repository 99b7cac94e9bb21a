#include "common/base/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

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

sha256_stream::sha256_stream() : state_(EVP_MD_CTX_new()) {
  if (state_ == nullptr || EVP_DigestInit_ex2(state_, algorithm(), nullptr) != 1) {
    EVP_MD_CTX_free(state_);
    throw std::runtime_error("SHA-256 failed");
  }
}

sha256_stream::~sha256_stream() {
  EVP_MD_CTX_free(state_);
}

void sha256_stream::feed(std::string_view part) {
  if (EVP_DigestUpdate(state_, part.data(), part.size()) != 1) throw std::runtime_error("SHA-256 failed");
}

sha256_digest sha256_stream::finish() {
  sha256_digest out;
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(state_, out.data(), &size) != 1 || size != out.size())
    throw std::runtime_error("SHA-256 failed");
  return out;
}

sha256_digest hmac_sha256(std::string_view key, std::string_view text) {
  sha256_digest out;
  unsigned int size = 0;
  if (HMAC(algorithm(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size) == nullptr)
    throw std::runtime_error("HMAC-SHA256 failed");
  return out;
}

std::string hex_of(const sha256_digest& d) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * d.size());
  for (const unsigned char b : d) {
    out += digits[b >> 4];
    out += digits[b & 15];
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
