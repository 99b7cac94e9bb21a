#include "common/token.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

#include "common/ascii.hpp"

namespace relay {
namespace {

// Fetched once: a lookup by name for each digest costs four times the digest itself.
const EVP_MD* sha256() {
  static const std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> md{EVP_MD_fetch(nullptr, "SHA256", nullptr),
                                                                  &EVP_MD_free};
  if (!md) throw std::runtime_error("OpenSSL offers no SHA-256");
  return md.get();
}

}  // namespace

std::string make_token(std::span<const unsigned char, token_entropy_bytes> random) {
  static constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text(token_prefix);
  unsigned bits = 0;
  int held = 0;
  for (const unsigned char byte : random) {
    bits = (bits << 8) | byte;
    held += 8;
    while (held >= 6) {
      held -= 6;
      text += alphabet[(bits >> held) & 63];
    }
  }
  text += alphabet[(bits << (6 - held)) & 63];
  return text;
}

token_digest digest_token(std::string_view text) {
  token_digest out;
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), out.data(), &size, sha256(), nullptr) != 1 || size != out.size()) {
    throw std::runtime_error("SHA-256 failed");
  }
  return out;
}

bool same_digest(const token_digest& a, const token_digest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view credential(std::string_view authorization) {
  authorization = trim(authorization);
  constexpr std::string_view scheme = "bearer";
  if (authorization.size() > scheme.size() && iequals(authorization.substr(0, scheme.size()), scheme) &&
      (authorization[scheme.size()] == ' ' || authorization[scheme.size()] == '\t')) {
    return trim(authorization.substr(scheme.size()));
  }
  if (iequals(authorization, scheme)) return {};
  return authorization;
}

bool valid_token_name(std::string_view name) {
  return name.size() <= max_token_name && is_word(name, "._-@");
}

}  // namespace relay
