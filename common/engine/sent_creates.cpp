#include "common/engine/sent_creates.hpp"

#include <algorithm>
#include <utility>

namespace relay {
namespace {

constexpr std::size_t max_sends = 100;  // of one request

std::string key_of(std::int64_t owner, const idempotency_record& r) {
  std::string key(r.digest.begin(), r.digest.end());
  return key.append(std::to_string(owner));
}

}  // namespace

void sent_creates::replace(lru<sends>& in, const std::string& key, sends s) {
  if (s.empty()) return in.erase(key);
  const std::size_t bytes = s.capacity() * sizeof(send);
  in.put(key, std::move(s), bytes);
}

void sent_creates::add(lru<sends>& to, std::int64_t owner, const idempotency_record& r, timestamp now) {
  if (r.what != idempotency_record::kind::retry) return;
  const std::string key = key_of(owner, r);
  const sends* known = to.find(key);
  sends all = known != nullptr ? *known : sends{};
  if (all.size() == max_sends) all.erase(all.begin());
  all.push_back({r.retries, now});
  replace(to, key, std::move(all));
}

void sent_creates::refused(std::int64_t owner, const idempotency_record& r, timestamp now) {
  add(refused_, owner, r, now);
}

void sent_creates::recorded(std::int64_t owner, const idempotency_record& r, timestamp now) {
  add(without_response_, owner, r, now);
}

void sent_creates::responded(std::int64_t owner, const idempotency_record& r) {
  const std::string key = key_of(owner, r);
  const sends* known = without_response_.find(key);
  if (known == nullptr) return;
  sends all = *known;
  const auto one = std::ranges::find(all, r.retries, &send::retries);
  if (one != all.end()) all.erase(one);
  replace(without_response_, key, std::move(all));
}

bool sent_creates::is_retry_of_refused(std::int64_t owner, const idempotency_record& r) {
  if (r.what != idempotency_record::kind::retry || r.retries == 0) return false;
  const std::string key = key_of(owner, r);
  const sends* known = refused_.find(key);
  if (known == nullptr) return false;
  sends all = *known;
  const auto before = std::ranges::find_if(
      all, [&r](const send& s) { return s.retries == r.retries - 1 && s.at >= r.since; });
  if (before == all.end()) return false;
  // An equal job whose client may have got no response: the two cannot be told apart, the older job is the
  // answer.
  const sends* waiting = without_response_.find(key);
  if (waiting != nullptr && std::ranges::any_of(*waiting, [&r](const send& s) { return s.at >= r.since; }))
    return false;
  all.erase(before);
  replace(refused_, key, std::move(all));
  return true;
}

}  // namespace relay
