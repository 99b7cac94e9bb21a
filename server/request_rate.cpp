#include "server/request_rate.hpp"

#include "server/clock.hpp"
#include "server/settings.hpp"

namespace relay {

result<void> within_request_limit(const handler_context& in, const caller& by, bool counts,
                                  std::vector<std::pair<std::string_view, std::string>>& headers) {
  const customer_limits of_account = by.who->limits.over(usual_limits(in.settings));
  const customer_limits of_token = by.with.limits.over({});
  const request_limits::verdict v =
      in.requests.admit({by.who->id, of_account.requests_per_minute},
                        {by.with.id, of_token.requests_per_minute}, counts, now());
  if (v.limit == 0) return {};
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
