#include "server/handlers/repeats.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/ascii.hpp"

namespace relay::handlers {
namespace {

constexpr std::size_t longest_key = 255;
constexpr int most_repeats = 1'000;

}  // namespace

result<std::optional<claim>> claim_of(const call& c, timestamp time) {
  std::string request(c.http.path);
  request.append("\n").append(c.http.body);
  const auto fields = c.http.headers->count("Idempotency-Key");
  if (fields > 0) {
    std::string_view key = trim(c.http.header("Idempotency-Key"));
    // A structured field's string (RFC 8941 §3.3.3) is quoted; most clients send the bare key.
    if (key.size() >= 2 && key.starts_with('"') && key.ends_with('"')) key = key.substr(1, key.size() - 2);
    const bool printable = std::ranges::all_of(key, [](char ch) { return ch >= 0x20 && ch <= 0x7e; });
    if (fields > 1 || key.empty() || key.size() > longest_key || !printable) {
      return fail(errc::invalid_request,
                  "Idempotency-Key: must be one key of 1 to 255 printable ASCII characters");
    }
    claim out;
    out.what = claim::kind::key;
    out.digest = sha256(key);
    out.request = sha256(request);
    out.since = time - keys_kept;
    return out;
  }
  const std::string_view count = c.http.header("x-stainless-retry-count");
  int repeats = 0;
  const auto [end, ec] = std::from_chars(count.data(), count.data() + count.size(), repeats);
  if (count.empty() || ec != std::errc{} || end != count.data() + count.size() || repeats < 0 ||
      repeats > most_repeats) {
    return std::nullopt;
  }
  claim out;
  out.what = claim::kind::repeat;
  out.digest = out.request = sha256(request);
  out.repeats = repeats;
  out.since = time - repeats_kept;
  return out;
}

error key_taken() {
  error e;
  e.code = errc::invalid_fields;
  e.may_retry = false;
  e.message.text =
      "Idempotency-Key: this key was used with another request in the last 24 hours; use a new key for a new "
      "request";
  e.violations.push_back({"idempotency_key_reused", {"header", "Idempotency-Key"}, e.message.text, ""});
  return e;
}

}  // namespace relay::handlers
