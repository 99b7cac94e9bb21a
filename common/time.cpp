#include "common/time.hpp"

#include <cstdio>

namespace relay {

std::string to_iso(timestamp t, precision p) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date{day};
  const auto since_midnight = t - day;
  const std::chrono::hh_mm_ss clock{since_midnight};
  const auto micros = static_cast<int>(clock.subseconds().count());
  char text[40];
  const int length =
      std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d.%0*dZ", static_cast<int>(date.year()),
                    static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                    static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                    static_cast<int>(clock.seconds().count()), static_cast<int>(p),
                    p == precision::milliseconds ? micros / 1000 : micros);
  return {text, static_cast<std::size_t>(length)};
}

std::int64_t to_unix(timestamp t) {
  return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count();
}

}  // namespace relay
