#include "server/auth.hpp"

#include <algorithm>
#include <cstring>

#include "common/base/digest.hpp"
#include "server/entropy.hpp"

namespace relay {
namespace {

constexpr std::size_t max_kept_key = 128;

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
  forget_recent();
  by_digest_.insert_or_assign(t.digest, std::make_shared<const token>(t));
  if (!is_set(t.old_ends_at)) return;
  token old = t;
  old.digest = t.old_digest;
  by_digest_.insert_or_assign(t.old_digest, std::make_shared<const token>(std::move(old)));
}

void token_registry::remove(const token& t) {
  forget_recent();
  std::erase_if(by_digest_, [&t](const auto& entry) { return entry.second->id == t.id; });
  on_removed();
}

void token_registry::rotate(const token& t) {
  std::erase_if(by_digest_, [&t](const auto& entry) { return entry.second->id == t.id; });
  add(t);
  on_removed();
}

bool token_registry::in_force(const token& t, timestamp now) const {
  const auto found = by_digest_.find(t.digest);
  return found != by_digest_.end() && works(*found->second, now);
}

bool token_registry::in_force(std::int64_t id, timestamp now) const {
  return std::ranges::any_of(
      by_digest_, [&](const auto& entry) { return entry.second->id == id && works(*entry.second, now); });
}

result<token_ptr> token_registry::authenticate(std::string_view authorization, timestamp now) {
  const std::string_view key = credential(authorization);
  if (key.empty()) {
    return fail(errc::unauthorized,
                "Authorization: no API key was given; send \"Authorization: Bearer KEY\"");
  }
  // Longer than any of ours: not kept.
  if (key.size() > max_kept_key) {
    token_ptr who = find(key);
    if (!who || !works(*who, now)) return std::unexpected(invalid_key());
    return who;
  }
  recent& last = recent_for(key);
  if (!last.who || !same_text(last.sent.reveal(), key)) {
    token_ptr who = find(key);
    if (!who) return std::unexpected(invalid_key());
    last = {secret(std::string(key)), std::move(who)};
  }
  if (!works(*last.who, now)) return std::unexpected(invalid_key());
  return last.who;
}

// What is looked up is a digest of what was sent: how long that takes says nothing about a token.
token_ptr token_registry::find(std::string_view key) const {
  const sha256_digest digest = sha256(key);
  const auto found = by_digest_.find(digest);
  return found != by_digest_.end() && same_digest(found->second->digest, digest) ? found->second : nullptr;
}

token_registry::recent& token_registry::recent_for(std::string_view key) {
  if (recent_.empty()) {
    recent_.resize(max_recent);
    fill_random({reinterpret_cast<unsigned char*>(salt_.data()), salt_.size()});
  }
  std::array<char, std::tuple_size_v<decltype(salt_)> + max_kept_key> salted;
  std::ranges::copy(salt_, salted.begin());
  std::ranges::copy(key, salted.begin() + salt_.size());
  const std::size_t hash = std::hash<std::string_view>{}({salted.data(), salt_.size() + key.size()});
  return recent_[hash % max_recent];
}

void token_registry::forget_recent() {
  recent_.clear();
}

}  // namespace relay
