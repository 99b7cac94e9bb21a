#include "server/request_rate.hpp"

#include "server/clock.hpp"

namespace relay {

result<void> within_request_limit(const handler_context& in, const caller& by, bool counts,
                                  std::vector<std::pair<std::string_view, std::string>>& headers) {
  const std::int64_t usual = in.settings.limits.requests_per_minute_per_account;
  const std::int64_t of_account = by.who->limits.requests_per_minute.value_or(usual);
  const std::int64_t of_token = by.with.limits.requests_per_minute.value_or(0);
  if (of_account == 0 && of_token == 0) return {};
  const request_limits::verdict v =
      in.requests.admit({by.who->id, of_account}, {by.with.id, of_token}, counts, now());
  const std::string seconds = std::to_string(v.of.reset_s);
  headers.emplace_back("X-RateLimit-Limit", std::to_string(v.limit));
  headers.emplace_back("X-RateLimit-Remaining", std::to_string(v.of.left));
  headers.emplace_back("X-RateLimit-Reset", seconds);
  if (v.of.admitted) return {};
  auto out = fail(errc::rate_limited, std::string(v.is_tokens ? "This API key" : "This account") +
                                          " has reached its limit of " + std::to_string(v.limit) +
                                          " requests a minute. Try again in " + seconds + " s");
  out.error().retry_after_seconds = static_cast<int>(v.of.reset_s);
  return out;
}

}  // namespace relay
