#include "server/upstream/check_upstream.hpp"

#include <spdlog/fmt/fmt.h>

namespace relay {
namespace {

upstream_check judge(const exchange& x, const protocol& p) {
  if (!x.responded) return {false, "cannot be used: " + x.problem, {}};
  const std::string text = "status " + std::to_string(x.status) + ": " + p.error_text(x.status, x.body);
  if (x.status >= 200 && x.status < 300) {
    const auto cents = p.parse_credits != nullptr ? p.parse_credits(x.body) : std::nullopt;
    return {true, cents ? fmt::format("the key works, {:.2f} USD left", *cents / 100) : "the key works", {}};
  }
  switch (x.status) {
    case 401:
      return {false, "refuses the key (" + text + ")", {}};
    case 402:
      return {false, "is out of credits (" + text + ")", {}};
    case 403:
      return {false, "the key may not do this (" + text + ")", {}};
    case 429:
      return {true, "can be reached, and is busy now (" + text + ")", {}};
    default:
      break;
  }
  // It was asked for a job that there is not; "Not Found" alone is a router's word.
  const bool routed = !text.ends_with(": Not Found");
  if ((x.status == 400 || x.status == 404) && routed && p.says_not_found(x.body))
    return {true, "the key works", {}};
  return {
      false,
      "does not respond as the protocol " + std::string(p.name) + " does (" + text + "); is the url right?",
      {}};
}

}  // namespace

awaitable<upstream_check> check_upstream(upstream& at) {
  const auto started = steady_clock::now();
  const std::string path(at.speaks().check_path);
  const exchange x = co_await at.fetch(path);
  upstream_check out = judge(x, at.speaks());
  out.took = std::chrono::round<milliseconds>(steady_clock::now() - started);
  co_return out;
}

}  // namespace relay
