#include "common/engine/customer_limits.hpp"

#include <algorithm>
#include <chrono>

namespace relay {
namespace {

constexpr std::chrono::minutes minute{1};

std::unexpected<error> refused(std::string_view who, std::string what, std::int64_t limit, std::string when,
                               std::int64_t seconds) {
  auto out = fail(errc::rate_limited, "This " + std::string(who) + " has reached its limit of " +
                                          std::to_string(limit) + " " + std::move(what) +
                                          "; nothing was submitted. Try again " + std::move(when));
  out.error().retry_after_seconds = static_cast<int>(seconds);
  return out;
}

}  // namespace

customer_limits own_limits::over(const customer_limits& usual) const {
  return {pending.value_or(usual.pending), open.value_or(usual.open),
          creates_per_minute.value_or(usual.creates_per_minute),
          requests_per_minute.value_or(usual.requests_per_minute), batch.value_or(usual.batch)};
}

result<void> create_limits::check(customers& all, const limited& one, std::string_view who, bool waits,
                                  timestamp now) {
  constexpr int retry_after = 5;
  const customer_limits& l = one.limits;
  if (l.open == 0 && l.pending == 0 && l.creates_per_minute == 0) return {};
  customer& c = all[one.id];
  if (l.open > 0 && one.counted.open + c.under_way.open >= l.open)
    return refused(who, "open generations", l.open, "when one has ended", retry_after);
  if (waits && l.pending > 0 && one.counted.pending + c.under_way.pending >= l.pending)
    return refused(who, "generations that wait for an upstream", l.pending, "when one has been submitted",
                   retry_after);
  if (l.creates_per_minute == 0) return {};
  while (!c.recent.empty() && c.recent.front() <= now - minute) c.recent.pop_front();
  if (std::ssize(c.recent) < l.creates_per_minute) return {};
  // The one whose end makes room: there may be more of them than a limit that was lowered since allows.
  const timestamp first = c.recent[static_cast<std::size_t>(std::ssize(c.recent) - l.creates_per_minute)];
  const auto wait = std::chrono::ceil<std::chrono::seconds>(first + minute - now);
  return refused(who, "creates a minute", l.creates_per_minute, "in " + std::to_string(wait.count()) + " s",
                 wait.count());
}

void create_limits::count(customers& all, const limited& one, bool waits, timestamp now) {
  customer& c = all[one.id];
  ++c.under_way.open;
  c.under_way.pending += waits;
  if (one.limits.creates_per_minute > 0)
    c.recent.push_back(now);
  else
    c.recent.clear();
}

void create_limits::forget(customers& all, std::int64_t id, bool waits) {
  const auto found = all.find(id);
  if (found == all.end()) return;
  customer& c = found->second;
  --c.under_way.open;
  c.under_way.pending -= waits;
  if (c.under_way == task_counts::customer{} && c.recent.empty()) all.erase(found);
}

result<create_limits::place> create_limits::admit(const limited& account, const limited& token, bool waits,
                                                  timestamp now) {
  if (auto ok = check(accounts_, account, "account", waits, now); !ok)
    return std::unexpected(std::move(ok.error()));
  if (auto ok = check(tokens_, token, "API key", waits, now); !ok)
    return std::unexpected(std::move(ok.error()));
  count(accounts_, account, waits, now);
  count(tokens_, token, waits, now);
  return place(this, account.id, token.id, waits);
}

void create_limits::give_back(std::int64_t account, std::int64_t token, bool waits) {
  forget(accounts_, account, waits);
  forget(tokens_, token, waits);
}

request_limit::verdict request_limit::admit(std::int64_t id, std::int64_t per_minute, bool counts,
                                            timestamp now) {
  window& w = windows_[id];
  const std::int64_t second = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  const auto at = [&w](std::int64_t s) -> std::uint32_t& {
    return w.of_second[static_cast<std::size_t>(s % seconds)];
  };
  // What is over is forgotten; a clock that was set back begins anew.
  if (second - w.newest >= seconds || second < w.newest - 1) {
    w = {};
    w.newest = second;
  }
  while (w.newest < second) w.sum -= std::exchange(at(++w.newest), 0);
  verdict out;
  out.admitted = w.sum < per_minute;
  if (out.admitted && counts) {
    ++at(w.newest);
    ++w.sum;
  }
  out.left = std::max<std::int64_t>(0, per_minute - w.sum);
  // The seconds from the oldest on: until enough of them is over, or all that count.
  std::int64_t over = 0;
  for (std::int64_t s = w.newest - seconds + 1; s <= w.newest; ++s) {
    if (at(s) == 0) continue;
    over += at(s);
    out.reset_s = s + seconds - w.newest;
    if (!out.admitted && w.sum - over < per_minute) break;
  }
  return out;
}

request_limits::verdict request_limits::admit(asking account, asking token, bool counts, timestamp now) {
  verdict a{{}, account.per_minute, false}, t{{}, token.per_minute, true};
  if (t.limit > 0) t.of = tokens_.admit(token.id, t.limit, false, now);
  if (a.limit > 0 && t.of.admitted) a.of = accounts_.admit(account.id, a.limit, counts, now);
  if (t.limit > 0 && t.of.admitted && a.of.admitted && counts)
    t.of = tokens_.admit(token.id, t.limit, true, now);
  if (a.limit == 0 || !t.of.admitted) return t.limit > 0 ? t : a;
  return t.limit == 0 || !a.of.admitted || a.of.left < t.of.left ? a : t;
}

}  // namespace relay
