#include "server/auth.hpp"

#include <cstring>

namespace relay {

std::size_t token_registry::digest_hash::operator()(const sha256_digest& d) const {
  std::size_t h = 0;
  std::memcpy(&h, d.data(), sizeof h);  // it is a hash already
  return h;
}

void token_registry::add(const token& t) {
  if (!t.revoked()) by_digest_.insert_or_assign(t.digest, t);
}

void token_registry::remove(const token& t) {
  by_digest_.erase(t.digest);
  on_removed();
}

result<const token*> token_registry::authenticate(std::string_view authorization) const {
  const std::string_view key = credential(authorization);
  if (key.empty()) {
    return fail(errc::unauthorized,
                "Authorization: no API key was given; send \"Authorization: Bearer KEY\"");
  }
  // What is looked up is a digest of what was sent: how long that takes says nothing about a token.
  const sha256_digest digest = sha256(key);
  const auto found = by_digest_.find(digest);
  if (found == by_digest_.end() || !same_digest(found->second.digest, digest)) {
    return fail(errc::unauthorized, "Authorization: Invalid API key is provided");
  }
  return &found->second;
}

}  // namespace relay
