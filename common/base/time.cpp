#include "common/base/time.hpp"

#include <algorithm>
#include <charconv>

namespace relay {

namespace {

// Without a sign, with zeros in front.
void put(char*& at, unsigned value, int digits) {
  for (int i = digits - 1; i >= 0; --i) {
    at[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  at += digits;
}
void put(char*& at, char c) {
  *at++ = c;
}

}  // namespace

std::string to_iso(timestamp t, precision p) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{t - day};
  const auto micros = static_cast<unsigned>(clock.subseconds().count());
  char text[32];
  char* at = text;
  put(at, static_cast<unsigned>(std::clamp(static_cast<int>(date.year()), 0, 9999)), 4);
  put(at, '-');
  put(at, static_cast<unsigned>(date.month()), 2);
  put(at, '-');
  put(at, static_cast<unsigned>(date.day()), 2);
  put(at, 'T');
  put(at, static_cast<unsigned>(clock.hours().count()), 2);
  put(at, ':');
  put(at, static_cast<unsigned>(clock.minutes().count()), 2);
  put(at, ':');
  put(at, static_cast<unsigned>(clock.seconds().count()), 2);
  put(at, '.');
  put(at, p == precision::milliseconds ? micros / 1000 : micros, static_cast<int>(p));
  put(at, 'Z');
  return {text, at};
}

namespace {

// What is left of a time to read.
struct reader {
  std::string_view text;

  // So many digits, and `then` after them (0: nothing). -1: they are not there.
  int number(std::size_t digits, char then) {
    int value = -1;
    if (text.size() < digits) return -1;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + digits, value);
    if (ec != std::errc{} || end != text.data() + digits || value < 0) return -1;
    text.remove_prefix(digits);
    if (then == 0) return value;
    if (text.empty() || (text.front() != then && !(then == 'T' && text.front() == ' '))) return -1;
    text.remove_prefix(1);
    return value;
  }

  // ".123", any number of digits; 0 when there is no point. nullopt: a point without digits.
  std::optional<std::int64_t> micros() {
    if (text.empty() || text.front() != '.') return 0;
    text.remove_prefix(1);
    std::int64_t sum = 0;
    std::int64_t weight = 100'000;
    bool any = false;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), weight /= 10) {
      sum += (text.front() - '0') * weight;
      any = true;
    }
    return any ? std::optional(sum) : std::nullopt;
  }

  // "+08:00", "Z" or nothing, and then the end.
  std::optional<std::chrono::minutes> offset() {
    if (text.empty() || text == "Z" || text == "z") return std::chrono::minutes(0);
    if (text.front() != '+' && text.front() != '-') return std::nullopt;
    const int sign = text.front() == '+' ? 1 : -1;
    text.remove_prefix(1);
    const int hours = number(2, ':'), minutes = number(2, 0);
    if (hours < 0 || minutes < 0 || !text.empty()) return std::nullopt;
    return std::chrono::minutes(sign * (hours * 60 + minutes));
  }
};

}  // namespace

std::optional<timestamp> from_iso(std::string_view text) {
  reader in{text};
  const int year = in.number(4, '-'), month = in.number(2, '-'), day = in.number(2, 'T');
  const int hour = in.number(2, ':'), minute = in.number(2, ':'), second = in.number(2, 0);
  if (year < 1 || month < 1 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
      second > 60) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return std::nullopt;
  const auto micros = in.micros();
  const auto offset = micros ? in.offset() : std::nullopt;
  if (!offset) return std::nullopt;
  return timestamp(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) +
                   std::chrono::minutes(minute) + std::chrono::seconds(second) +
                   std::chrono::microseconds(*micros) - *offset);
}

std::optional<timestamp> from_http_date(std::string_view text) {
  static constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  // "Sun, 06 Nov 1994 08:49:37 GMT"
  if (text.size() != 29 || text.substr(3, 2) != ", " || text.substr(25) != " GMT") return std::nullopt;
  const auto month = std::ranges::find(months, text.substr(8, 3));
  if (month == std::end(months)) return std::nullopt;
  // The rest is RFC 3339 in another order.
  const std::string number = std::to_string(month - std::begin(months) + 101).substr(1);
  return from_iso(std::string(text.substr(12, 4))
                      .append("-" + number + "-")
                      .append(text.substr(5, 2))
                      .append("T")
                      .append(text.substr(17, 8))
                      .append("Z"));
}

std::int64_t to_unix(timestamp t) {
  return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count();
}

}  // namespace relay
