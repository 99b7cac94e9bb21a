#include "common/engine/outcome.hpp"

#include <algorithm>

#include "common/base/ascii.hpp"
#include "common/base/text.hpp"

namespace relay {
namespace {

using kind = submit_outcome::kind;

constexpr milliseconds default_poll_cool_down{2'000};
constexpr int max_retry_after = 300;

milliseconds retry_after(const exchange& x, milliseconds otherwise) {
  if (x.retry_after_seconds <= 0) return otherwise;
  return milliseconds(1000 * std::min(x.retry_after_seconds, max_retry_after));
}

submit_outcome unavailable(std::string note, cause why, milliseconds cool_down = {}) {
  return {kind::unavailable, event::unavailable{}, std::move(note), why, cool_down};
}

constexpr std::string_view cause_names[] = {"none",          "unreachable", "lost",
                                            "key_refused",   "no_credits",  "not_allowed",
                                            "wrong_address", "limited",     "no_room"};

// Upstreams word their 429s as they like; these are the words of those that are known.
limit_kind limit_named_in(std::string_view text) {
  const std::string words = lower(text);
  const auto any = [&words](std::initializer_list<std::string_view> parts) {
    return std::ranges::any_of(parts, [&](std::string_view p) { return words.contains(p); });
  };
  if (any({"concurren", "simultaneous", "at once", "in parallel"})) return limit_kind::at_once;
  if (any({"per minute", "/min", "rpm", "requests per"})) return limit_kind::in_minute;
  return limit_kind::unknown;
}

// An upstream that loses one response may lose the next: it gets a cool-down too.
submit_outcome unknown(std::string note) {
  return {kind::unknown, event::outcome_unknown{}, std::move(note), cause::lost};
}

}  // namespace

std::string_view name_of(kind k) {
  static constexpr std::string_view names[] = {"accepted", "rejected", "unavailable", "unknown"};
  return names[static_cast<std::size_t>(k)];
}

std::string_view name_of(cause c) {
  return cause_names[static_cast<std::size_t>(c)];
}

submit_outcome classify_submit(const exchange& x, const protocol& p) {
  if (x.no_room) return unavailable(x.problem, cause::no_room);
  if (!x.responded) return x.sent_any ? unknown(x.problem) : unavailable(x.problem, cause::unreachable);
  const std::string status = "status " + std::to_string(x.status);
  if (x.status >= 200 && x.status < 300) {
    auto reported = p.parse_job(x.body);
    if (!reported || reported->id.empty()) return unknown(status + ", but the response names no job");
    std::string note = "as " + for_log(reported->id);
    return {kind::accepted, event::accepted{std::move(*reported), x.body, {}}, std::move(note)};
  }
  const std::string text = p.error_text(x.status, x.body);
  const std::string refusal = status + ": " + text;
  switch (x.status) {
    // The key or the account: nothing was created. For lack of credits, or of a right, a cheaper or another
    // request may still pass.
    case 401:
      return unavailable(refusal + "; check this upstream's key", cause::key_refused);
    case 402:
      return unavailable(refusal + "; check this upstream's credits", cause::no_credits);
    case 403:
      return unavailable(refusal + "; check this upstream's url and what its key may do", cause::not_allowed);
    case 404:
    case 405:
    case 307:
    case 308:
      return unavailable(refusal + "; check this upstream's url", cause::wrong_address);
    case 429: {
      submit_outcome o = unavailable(refusal, cause::limited, retry_after(x, {}));
      o.limit = limit_named_in(text);
      return o;
    }
    // The upstream gave up waiting, or is at work on the same thing.
    case 408:
    case 409:
    case 425:
      return unknown(refusal);
    default:
      break;
  }
  if (x.status >= 400 && x.status < 500)
    return {kind::rejected, event::rejected{x.status, text, {}}, refusal};
  // 3xx: it may be the address of what was created; redirects are never followed. 5xx: the gateway in front
  // of the upstream may respond after the job was created, a 503 with Retry-After too.
  return unknown(refusal);
}

task_event for_attempt(task_event e, const std::string& attempt_id) {
  const auto mark = [&attempt_id](auto& one) {
    if constexpr (requires { one.attempt_id; }) one.attempt_id = attempt_id;
  };
  std::visit(mark, e);
  return e;
}

poll_outcome classify_poll(const exchange& x, const protocol& p) {
  if (!x.responded) return {event::poll_failed{}, "error", x.problem, {}};
  const std::string status = "status " + std::to_string(x.status);
  if (x.status >= 200 && x.status < 300) {
    auto reported = p.parse_job(x.body);
    if (!reported) return {event::poll_failed{}, "error", status + ", but the response holds no job", {}};
    // A word we do not know is no failure: polling goes on.
    std::string note =
        reported->state == job_state::unknown ? "the state is a word we do not know; polling goes on" : "";
    return {event::polled{std::move(*reported), x.body}, "ok", std::move(note), {}};
  }
  const std::string note = status + ": " + p.error_text(x.status, x.body);
  if ((x.status == 404 || x.status == 410) && p.says_not_found(x.body))
    return {event::poll_failed{.not_found = true}, "not_found", note, {}};
  const milliseconds wait = retry_after(x, milliseconds{0});
  const milliseconds whole_upstream =
      x.status == 429 ? std::max(wait, default_poll_cool_down) : milliseconds{0};
  return {event::poll_failed{.not_found = false, .retry_after = wait}, "error", note, whole_upstream};
}

}  // namespace relay
