#include "common/engine/alerts.hpp"

#include <algorithm>

namespace relay {

std::string_view name_of(alert::what w) {
  switch (w) {
    case alert::what::firing:
    case alert::what::still_firing:
      return "firing";
    case alert::what::resolved:
      return "resolved";
  }
  return {};
}

alert_book::entry& alert_book::entry_of(const condition& c, timestamp now) {
  const auto found = std::ranges::find_if(
      known_, [&c](const entry& e) { return e.what.name == c.name && e.what.subject == c.subject; });
  if (found != known_.end()) return *found;
  return known_.emplace_back(entry{c, now, now, never});
}

bool alert_book::is_new(const entry& e, timestamp now) const {
  return !is_set(e.told_at) && now >= e.since + e.what.waits_for && e.last_held == now;
}

bool alert_book::is_over(const entry& e, timestamp now) const {
  return e.last_held < now && now >= e.last_held + times_.calm;
}

std::vector<alert> alert_book::observe(const std::vector<condition>& all, timestamp now) {
  // 1. What holds; its words may be others than the last time.
  for (const condition& c : all) {
    entry& e = entry_of(c, now);
    e.what = c;
    e.last_held = now;
  }
  // What went by before it was told was nothing.
  std::erase_if(known_, [&](const entry& e) { return !is_set(e.told_at) && e.last_held != now; });
  // 2. Whether there are news, and whether others had the time to join them.
  const bool any_news = std::ranges::any_of(
      known_, [&](const entry& e) { return is_new(e, now) || (is_set(e.told_at) && is_over(e, now)); });
  if (!any_news) news_since_ = never;
  if (any_news && !is_set(news_since_)) news_since_ = now;
  const bool is_time = any_news && now >= news_since_ + times_.group;
  // 3. One message of all that is to be said.
  std::vector<alert> out;
  const auto say = [&out](const entry& e, alert::what state, timestamp until = never) {
    out.push_back({state, e.what.name, e.what.subject, e.what.text, e.since, until});
  };
  for (entry& e : known_) {
    const bool is_due_again = is_set(e.told_at) && !is_over(e, now) && now >= e.told_at + times_.repeat;
    if (is_time && is_new(e, now)) {
      say(e, alert::what::firing);
      e.told_at = now;
    } else if (is_time && is_set(e.told_at) && is_over(e, now)) {
      say(e, alert::what::resolved, e.last_held);
      e.is_told_over = true;
    } else if (is_due_again) {
      say(e, alert::what::still_firing);
      e.told_at = now;
    }
  }
  std::erase_if(known_, [](const entry& e) { return e.is_told_over; });
  if (is_time) news_since_ = never;
  return out;
}

}  // namespace relay
