#include "server/auth.hpp"

#include <cstring>

namespace relay {
namespace {

// Always, or as the one before the last rotation.
bool works(const token& t, timestamp now) {
  return t.digest != t.old_digest || now < t.old_ends_at;
}

}  // namespace

error invalid_key() {
  return fail(errc::unauthorized, "Authorization: Invalid API key is provided").error();
}

std::size_t token_registry::digest_hash::operator()(const sha256_digest& d) const {
  std::size_t h = 0;
  std::memcpy(&h, d.data(), sizeof h);  // it is a hash already
  return h;
}

void token_registry::add(const token& t) {
  if (t.revoked()) return;
  by_digest_.insert_or_assign(t.digest, t);
  if (!is_set(t.old_ends_at)) return;
  token old = t;
  old.digest = t.old_digest;
  by_digest_.insert_or_assign(t.old_digest, std::move(old));
}

void token_registry::remove(const token& t) {
  std::erase_if(by_digest_, [&t](const auto& entry) { return entry.second.id == t.id; });
  on_removed();
}

void token_registry::rotate(const token& t) {
  std::erase_if(by_digest_, [&t](const auto& entry) { return entry.second.id == t.id; });
  add(t);
  on_removed();
}

bool token_registry::in_force(const token& t, timestamp now) const {
  const auto found = by_digest_.find(t.digest);
  return found != by_digest_.end() && works(found->second, now);
}

result<const token*> token_registry::authenticate(std::string_view authorization, timestamp now) const {
  const std::string_view key = credential(authorization);
  if (key.empty()) {
    return fail(errc::unauthorized,
                "Authorization: no API key was given; send \"Authorization: Bearer KEY\"");
  }
  // What is looked up is a digest of what was sent: how long that takes says nothing about a token.
  const sha256_digest digest = sha256(key);
  const auto found = by_digest_.find(digest);
  if (found == by_digest_.end() || !same_digest(found->second.digest, digest) || !works(found->second, now)) {
    return std::unexpected(invalid_key());
  }
  return &found->second;
}

}  // namespace relay
