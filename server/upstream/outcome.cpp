#include "server/upstream/outcome.hpp"

#include <algorithm>

#include "common/base/text.hpp"
#include "server/log.hpp"

namespace relay {
namespace {

using kind = submit_outcome::kind;

constexpr milliseconds default_poll_hold_off{2'000};
constexpr milliseconds account_hold_off{30'000};  // a bad key or no credits does not mend itself in seconds
constexpr int max_retry_after = 300;

milliseconds retry_after(const exchange& x, milliseconds otherwise) {
  if (x.retry_after_seconds <= 0) return otherwise;
  return milliseconds(1000 * std::min(x.retry_after_seconds, max_retry_after));
}

submit_outcome unavailable(std::string note, bool whole_upstream, milliseconds hold_off = {}) {
  return {kind::unavailable, event::unavailable{{}, whole_upstream}, std::move(note), whole_upstream,
          hold_off};
}

// An upstream that loses one answer may lose the next: it is left alone for a moment too.
submit_outcome unknown(std::string note) {
  return {kind::unknown, event::outcome_unknown{}, std::move(note), true, {}};
}

}  // namespace

std::string_view name_of(kind k) {
  static constexpr std::string_view names[] = {"accepted", "rejected", "unavailable", "unknown"};
  return names[static_cast<std::size_t>(k)];
}

std::string refusal_text(int status, std::string_view body) {
  std::string said;
  if (const auto v = parse_lenient(body); v && v->is_object()) {
    const json::object& o = v->get_object();
    if (const json::value* detail = member(o, "detail"); detail != nullptr) {
      if (detail->is_string()) said = std::string(view(detail->get_string()));
      if (const json::array* list = detail->if_array()) {  // pydantic: take every message, with its place
        for (const json::value& item : *list) {
          const json::value* msg = member(item, "msg");
          if (msg == nullptr || !msg->is_string()) continue;
          if (!said.empty()) said += "; ";
          if (const json::value* loc = member(item, "loc");
              loc != nullptr && loc->is_array() && loc->get_array().size() > 1) {
            const json::value& last = loc->get_array().back();
            if (last.is_string()) said += std::string(view(last.get_string())) + ": ";
          }
          said += view(msg->get_string());
        }
      }
      if (const json::object* inner = detail->if_object()) said = first_text(*inner, {"reason", "message"});
    }
    if (said.empty()) {
      if (const json::value* e = member(o, "error"); e != nullptr) {
        if (e->is_object())
          said = text_of(e->get_object(), "message");
        else if (e->is_string())
          said = view(e->get_string());
      }
    }
    if (said.empty()) said = text_of(o, "message");
  }
  if (said.empty()) return "The upstream refused the request with status " + std::to_string(status);
  return for_log(said, 500);
}

submit_outcome classify_submit(const exchange& x) {
  if (!x.answered) {
    if (!x.bytes_left) return unavailable(x.problem, true);
    return unknown(x.problem);
  }
  const std::string status = "status " + std::to_string(x.status);
  if (x.status >= 200 && x.status < 300) {
    auto said = parse_job_text(x.body);
    if (said && !said->id.empty()) {
      const std::string id = said->id;
      return {kind::accepted, event::accepted{std::move(*said), x.body}, "as " + id, false, {}};
    }
    return unknown(status + ", but the answer names no job");
  }
  const std::string refusal = status + ": " + refusal_text(x.status, x.body);
  switch (x.status) {
    // The key or the account: nothing was created, and no other request would fare better.
    case 401:
    case 402:
      return unavailable(refusal + "; check this upstream's key and credits", true, account_hold_off);
    // Nothing was created; it may be this request's model or rights, or the address: others may still pass.
    case 403:
    case 404:
    case 405:
    case 307:
    case 308:
      return unavailable(refusal + "; check this upstream's url and what its key may do", false);
    case 429:
      return unavailable(refusal, true, retry_after(x, {}));
    // Somebody gave up waiting, or is at work on the same thing.
    case 408:
    case 409:
    case 425:
      return unknown(refusal);
    default:
      break;
  }
  if (x.status >= 400 && x.status < 500) {
    return {kind::rejected, event::rejected{x.status, refusal_text(x.status, x.body)}, refusal, false, {}};
  }
  // 3xx: it may be the address of what was created; redirects are never followed. 5xx: the gateway in front
  // of the upstream may answer after the job was created, a 503 with Retry-After too.
  return unknown(refusal);
}

poll_outcome classify_poll(const exchange& x) {
  if (!x.answered) return {event::poll_failed{}, "error", x.problem, {}};
  if (x.status >= 200 && x.status < 300) {
    if (auto said = parse_job_text(x.body); said && said->state != job_state::unknown) {
      return {event::polled{std::move(*said), x.body}, "ok", {}, {}};
    } else if (said) {
      // A word we do not know is no failure: keep asking.
      return {
          event::polled{std::move(*said), x.body}, "ok", "the state is a word we do not know; asking on", {}};
    }
    return {event::poll_failed{},
            "error",
            "status " + std::to_string(x.status) + ", but the answer holds no job",
            {}};
  }
  const std::string note = "status " + std::to_string(x.status) + ": " + refusal_text(x.status, x.body);
  if (x.status == 404 || x.status == 410)
    return {event::poll_failed{.not_found = true}, "not_found", note, {}};
  const milliseconds wait = retry_after(x, milliseconds{0});
  const milliseconds everybody = x.status == 429 ? std::max(wait, default_poll_hold_off) : milliseconds{0};
  return {event::poll_failed{.not_found = false, .retry_after = wait}, "error", note, everybody};
}

}  // namespace relay
