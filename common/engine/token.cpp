#include "common/engine/token.hpp"

#include "common/base/ascii.hpp"

namespace relay {
std::string make_token(std::span<const unsigned char, token_entropy_bytes> random, std::string_view prefix) {
  static constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string text(prefix);
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
  return name != "." && name != ".." && name.size() <= max_token_name && is_word(name, "._-@");
}

}  // namespace relay
