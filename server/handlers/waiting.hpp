#pragma once

// Clients that wait for a change instead of polling: `Prefer: wait=N` (RFC 7240 §4.3).

#include <optional>
#include <string>

#include "server/route.hpp"

namespace relay::handlers {

inline constexpr std::chrono::seconds max_wait{60};

/// N seconds, at most max_wait; nullopt: the client does not want to wait, or N is no number.
std::optional<std::chrono::seconds> preferred_wait(const call& c);

/// The value of Preference-Applied (RFC 7240 §3).
std::string preference_applied(std::chrono::seconds wait);

}  // namespace relay::handlers
