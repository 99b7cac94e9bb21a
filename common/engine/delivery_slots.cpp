#include "common/engine/delivery_slots.hpp"

#include <algorithm>

#include "common/base/backoff.hpp"

namespace relay {
namespace {

constexpr std::size_t max_hosts = 10'000;
// A host that failed this often in a row gets a cool-down, so that its callbacks take no slots.
constexpr int failures_allowed = 3;
constexpr milliseconds first_cool_down{1'000};
constexpr milliseconds max_cool_down{60'000};

}  // namespace

std::string delivery_slots::key_of(std::int64_t owner, const std::string& host) {
  return std::to_string(owner) + " " + host;
}

delivery_slots::verdict delivery_slots::acquire(std::int64_t owner, const std::string& host, timestamp now) {
  if (full()) return verdict::full;
  if (free_for(owner) == 0) return verdict::busy_owner;
  if (free_at(owner, host) == 0) return verdict::busy_host;
  host_state& state = hosts_[key_of(owner, host)];
  ++in_flight_;
  ++state.in_flight;
  ++by_owner_[owner];
  return state.cool_down_until > now ? verdict::cool_down : verdict::send;
}

std::size_t delivery_slots::free_for(std::int64_t owner) const {
  const std::size_t half = (in_all_ + 1) / 2;
  const auto busy = by_owner_.find(owner);
  return busy == by_owner_.end() ? half : half - busy->second;
}

std::size_t delivery_slots::free_at(std::int64_t owner, const std::string& host) const {
  const auto state = hosts_.find(key_of(owner, host));
  if (state == hosts_.end()) return per_host_;
  // Of a host that failed, one delivery tries.
  const std::size_t most = state->second.failures > 0 ? 1 : per_host_;
  return most - std::min(most, state->second.in_flight);
}

void delivery_slots::finished(std::int64_t owner, const std::string& host) {
  --in_flight_;
  if (--by_owner_[owner] == 0) by_owner_.erase(owner);
  const auto state = hosts_.find(key_of(owner, host));
  if (state != hosts_.end() && --state->second.in_flight == 0 && state->second.failures == 0)
    hosts_.erase(state);
  if (hosts_.size() > max_hosts) {
    std::erase_if(hosts_, [](const auto& h) { return h.second.in_flight == 0; });
  }
}

void delivery_slots::succeeded(std::int64_t owner, const std::string& host) {
  host_state& state = hosts_[key_of(owner, host)];
  state.failures = 0;
  state.cool_down_until = never;
}

void delivery_slots::failed(std::int64_t owner, const std::string& host, timestamp now, double jitter) {
  host_state& state = hosts_[key_of(owner, host)];
  ++state.failures;
  state.cool_down_until = never;
  if (state.failures >= failures_allowed) {
    state.cool_down_until =
        now + backoff(state.failures - failures_allowed, first_cool_down, max_cool_down, jitter);
  }
}

}  // namespace relay
