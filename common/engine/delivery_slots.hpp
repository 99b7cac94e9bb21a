#pragma once

// Who may deliver a callback now: at most so many at once in all, for one host, and half of all for one
// client; a host that fails gets one attempt at a time and then a cool-down. How a host fares is counted for
// each client apart: another client's trouble with it is not theirs. Pure. One thread.

#include <cstdint>
#include <string>
#include <unordered_map>

#include "common/base/time.hpp"

namespace relay {

class delivery_slots {
 public:
  /// `in_all` and `per_host`: deliveries at once.
  delivery_slots(std::size_t in_all, std::size_t per_host) : in_all_(in_all), per_host_(per_host) {}

  enum class verdict : std::uint8_t {
    send,        // a slot is taken: deliver it
    cool_down,   // a slot is taken, but the host has a cool-down: count the attempt as failed, untried
    busy_host,   // not this one before another for its host has ended
    busy_owner,  // nor any other of this client's
    full,        // none
  };
  /// `host`: scheme and authority of the callback URL. What takes a slot must be ended by finished().
  verdict acquire(std::int64_t owner, const std::string& host, timestamp now);
  void finished(std::int64_t owner, const std::string& host);

  /// How many more this host, and this client, can take now, as far as there are slots.
  std::size_t free_at(std::int64_t owner, const std::string& host) const;
  std::size_t free_for(std::int64_t owner) const;

  /// The host responded, whatever it said.
  void succeeded(std::int64_t owner, const std::string& host);
  /// It did not. `jitter` in [0, 1).
  void failed(std::int64_t owner, const std::string& host, timestamp now, double jitter);

  bool full() const { return in_flight_ >= in_all_; }
  std::size_t in_flight() const { return in_flight_; }

 private:
  struct host_state {
    std::size_t in_flight = 0;
    int failures = 0;  // in a row
    timestamp cool_down_until;
  };
  static std::string key_of(std::int64_t owner, const std::string& host);

  const std::size_t in_all_;
  const std::size_t per_host_;
  std::size_t in_flight_ = 0;
  std::unordered_map<std::string, host_state> hosts_;       // by client and host; in flight or failing
  std::unordered_map<std::int64_t, std::size_t> by_owner_;  // deliveries in flight
};

}  // namespace relay
