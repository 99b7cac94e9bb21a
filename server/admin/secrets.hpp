#pragma once

// Secrets as they are made: shown once, and what is kept of them.

#include <array>
#include <string>

#include "common/base/secret.hpp"
#include "common/engine/token.hpp"
#include "common/engine/webhook_signature.hpp"
#include "server/entropy.hpp"

namespace relay {

struct made_secret {
  std::string text;
  sha256_digest digest{};
  std::string hint;
};

inline made_secret make_secret(std::string_view prefix = token_prefix) {
  std::array<unsigned char, token_entropy_bytes> random;
  fill_random(random);
  made_secret out;
  out.text = make_token(random, prefix);
  out.digest = sha256(out.text);
  out.hint = out.text.substr(out.text.size() - 4);
  return out;
}

/// What signs an account's callbacks.
inline secret new_webhook_secret() {
  std::string bytes(webhook_secret_bytes, '\0');
  fill_random({reinterpret_cast<unsigned char*>(bytes.data()), bytes.size()});
  return secret(std::move(bytes));
}

}  // namespace relay
