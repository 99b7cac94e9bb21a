#include "common/engine/idempotency.hpp"

#include <algorithm>
#include <charconv>

#include "common/base/ascii.hpp"

namespace relay {
namespace {

constexpr std::size_t max_key = 255;
constexpr int max_retries = 1'000;

std::optional<int> retry_count(std::string_view text) {
  int count = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (text.empty() || ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (count < 0 || count > max_retries) return std::nullopt;
  return count;
}

// Of one send.
std::chrono::seconds timeout_of(std::string_view text) {
  double seconds = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || ec != std::errc{} || !(seconds > 0)) return sdk_timeout;
  const double most = std::chrono::duration<double>(longest_sdk_timeout).count();
  return std::chrono::seconds(static_cast<std::int64_t>(std::min(seconds, most)) + 1);
}

}  // namespace

result<std::optional<idempotency_record>> idempotency_of(const idempotency_headers& h,
                                                         std::string_view request, timestamp now) {
  idempotency_record out;
  if (h.keys > 0) {
    std::string_view key = trim(h.key);
    // A structured field's string (RFC 8941 §3.3.3) is quoted; most clients send the bare key.
    if (key.size() >= 2 && key.starts_with('"') && key.ends_with('"')) key = key.substr(1, key.size() - 2);
    const bool printable = std::ranges::all_of(key, [](char c) { return c >= 0x20 && c <= 0x7e; });
    if (h.keys > 1 || key.empty() || key.size() > max_key || !printable) {
      return fail(errc::invalid_request,
                  "Idempotency-Key: must be one key of 1 to 255 printable ASCII characters");
    }
    out.what = idempotency_record::kind::key;
    out.digest = sha256(key);
    out.request = sha256(request);
    out.since = now - keys_kept;
    return out;
  }
  const auto count = retry_count(h.retry_count);
  if (!count) return std::nullopt;
  out.what = idempotency_record::kind::retry;
  out.digest = out.request = sha256(request);
  out.retries = *count;
  out.since = now - (*count + 1) * (timeout_of(h.timeout) + sdk_pause);
  return out;
}

error key_reused() {
  error e;
  e.code = errc::invalid_fields;
  e.may_retry = false;
  e.message.text =
      "Idempotency-Key: this key was used with another request in the last 24 hours; use a new key for a new "
      "request";
  e.violations.push_back({"idempotency_key_reused", {"header", "Idempotency-Key"}, e.message.text, ""});
  return e;
}

}  // namespace relay
