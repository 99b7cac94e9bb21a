#include "server/auth.hpp"

#include <algorithm>
#include <cstring>

#include "common/base/digest.hpp"
#include "server/entropy.hpp"

namespace relay {
namespace {

constexpr std::size_t max_kept_key = 128;

// Why a caller that is known is refused; empty: it is not.
std::string_view obstacle(const caller& c, timestamp now) {
  const token& t = c.with;
  if (t.digest == t.old_digest && now >= t.old_ends_at) return "Invalid API key is provided";
  if (is_set(t.expires_at) && now >= t.expires_at) return "this API key has expired";
  if (!c.who->enabled) return "the account of this API key is disabled";
  return {};
}

bool works(const caller& c, timestamp now) {
  return obstacle(c, now).empty();
}

}  // namespace

error invalid_key() {
  return fail(errc::unauthorized, "Authorization: Invalid API key is provided").error();
}

std::size_t account_registry::digest_hash::operator()(const sha256_digest& d) const {
  std::size_t h = 0;
  std::memcpy(&h, d.data(), sizeof h);  // it is a hash already
  return h;
}

void account_registry::put(const account& a) {
  if (const account_ptr known = find(a.id); known && a.revision < known->revision) return;
  forget_recent();
  const auto changed = std::make_shared<const account>(a);
  accounts_[a.id] = changed;
  for (auto& [digest, by] : by_digest_) {
    if (by->with.account == a.id)
      by = std::make_shared<const caller>(by->with, changed, by->from, by->used_on);
  }
  if (!a.enabled) on_ended();
}

void account_registry::add(const token& t) {
  if (t.revoked()) return;
  const account_ptr who = find(t.account);
  if (!who) return;
  forget_recent();
  // One that this program cannot read lets nobody in.
  const address_set from = address_set::parse(t.addresses).value_or(address_set{});
  by_digest_.insert_or_assign(t.digest, std::make_shared<const caller>(t, who, from, t.last_used));
  if (!is_set(t.old_ends_at)) return;
  token old = t;
  old.digest = t.old_digest;
  by_digest_.insert_or_assign(t.old_digest,
                              std::make_shared<const caller>(std::move(old), who, from, t.last_used));
}

void account_registry::remove(const token& t) {
  forget_recent();
  std::erase_if(by_digest_, [&t](const auto& entry) { return entry.second->with.id == t.id; });
  on_ended();
}

void account_registry::set_tokens(std::int64_t account, const std::vector<token>& all) {
  forget_recent();
  std::erase_if(by_digest_, [account](const auto& entry) { return entry.second->with.account == account; });
  for (const token& t : all) {
    if (t.account == account) add(t);
  }
  on_ended();
}

bool account_registry::in_force(const caller& c, timestamp now) const {
  const auto found = by_digest_.find(c.with.digest);
  return found != by_digest_.end() && works(*found->second, now);
}

bool account_registry::in_force(std::int64_t account, timestamp now) const {
  return std::ranges::any_of(by_digest_, [&](const auto& entry) {
    return entry.second->with.account == account && works(*entry.second, now);
  });
}

account_ptr account_registry::find(std::int64_t account) const {
  const auto found = accounts_.find(account);
  return found == accounts_.end() ? nullptr : found->second;
}

result<caller_ptr> account_registry::authenticate(std::string_view authorization, timestamp now) {
  const std::string_view key = credential(authorization);
  if (key.empty()) {
    return fail(errc::unauthorized,
                "Authorization: no API key was given; send \"Authorization: Bearer KEY\"");
  }
  // Longer than any of ours: not kept.
  if (key.size() > max_kept_key) {
    caller_ptr by = find(key);
    if (!by || !works(*by, now)) return std::unexpected(invalid_key());
    if (by->used_on != today_) note_use(*by);
    return by;
  }
  recent& last = recent_for(key);
  if (!last.by || !same_text(last.sent.reveal(), key)) {
    caller_ptr by = find(key);
    if (!by) return std::unexpected(invalid_key());
    last = {secret(std::string(key)), std::move(by)};
  }
  if (const std::string_view why = obstacle(*last.by, now); !why.empty())
    return fail(errc::unauthorized, "Authorization: " + std::string(why));
  if (last.by->used_on != today_) note_use(*last.by);
  return last.by;
}

// What is looked up is a digest of what was sent: how long that takes says nothing about a token.
caller_ptr account_registry::find(std::string_view key) const {
  const sha256_digest digest = sha256(key);
  const auto found = by_digest_.find(digest);
  return found != by_digest_.end() && same_digest(found->second->with.digest, digest) ? found->second
                                                                                      : nullptr;
}

account_registry::recent& account_registry::recent_for(std::string_view key) {
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

std::vector<account_ptr> account_registry::first(std::size_t how_many) const {
  std::vector<account_ptr> out;
  out.reserve(accounts_.size());
  for (const auto& [id, a] : accounts_) out.push_back(a);
  std::ranges::sort(out, {}, [](const account_ptr& a) { return a->id; });
  if (out.size() > how_many) out.resize(how_many);
  return out;
}

void account_registry::note_use(const caller& c) {
  c.used_on = today_;
  used_.push_back(c.with.id);
}

void account_registry::forget_recent() {
  recent_.clear();
}

}  // namespace relay
