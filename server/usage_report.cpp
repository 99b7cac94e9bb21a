#include "server/usage_report.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>

namespace relay {
namespace {

constexpr std::string_view by_names[] = {"day", "account", "token", "action", "model", "upstream", "outcome"};

std::string_view name_of(usage_by by) {
  return by_names[static_cast<std::size_t>(by)];
}

std::string text_of(const usage_entry& u, usage_by by, const report_names& names) {
  switch (by) {
    case usage_by::day:
      return day_text(u.day);
    case usage_by::account:
      return names.account(u.account);
    case usage_by::token:
      return names.token(u.token);
    case usage_by::action:
      return u.action;
    case usage_by::model:
      return u.model;
    case usage_by::upstream:
      return u.upstream;
    case usage_by::outcome:
      return std::string(relay::name_of(u.outcome));
  }
  return {};
}

// A column after those that it is told apart by. A number as it is, in JSON too; an amount as text.
struct figure {
  const char* name;
  bool is_amount;
  bool is_operators;
  std::string (*text)(const usage_entry& u);
};
constexpr figure figures[] = {
    {"jobs", false, false, [](const usage_entry& u) { return std::to_string(u.jobs); }},
    {"amount", true, false, [](const usage_entry& u) { return to_text(u.amount); }},
    {"cost", true, true, [](const usage_entry& u) { return to_text(u.cost); }},
    {"margin", true, true, [](const usage_entry& u) { return to_text(u.amount - u.cost); }},
    {"wait_ms", false, false, [](const usage_entry& u) { return std::to_string(u.wait.count()); }},
    {"run_ms", false, false, [](const usage_entry& u) { return std::to_string(u.run.count()); }},
};

bool is_shown(const figure& f, report_for whom) {
  return !f.is_operators || whom == report_for::operators;
}

// RFC 4180 §2. What a spreadsheet would take for a formula gets a quote in front.
std::string csv_field(std::string text) {
  if (!text.empty() && std::string_view("=+-@\t\r").contains(text.front())) text.insert(0, "'");
  if (text.find_first_of("\",\r\n") == text.npos) return text;
  std::string out = "\"";
  for (const char c : text) out.append(c == '"' ? 2 : 1, c);
  return out + "\"";
}

}  // namespace

result<std::int32_t> parse_day(std::string_view text) {
  const auto refused = [] { return fail(errc::invalid_request, "must be a day such as 2026-11-29, in UTC"); };
  int year = 0, month = 0, day = 0;
  const auto number = [](std::string_view part, int& into) {
    const auto read = std::from_chars(part.data(), part.data() + part.size(), into);
    return read.ec == std::errc{} && read.ptr == part.data() + part.size();
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-' || !number(text.substr(0, 4), year) ||
      !number(text.substr(5, 2), month) || !number(text.substr(8), day))
    return refused();
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok() || year < 1970) return refused();
  return static_cast<std::int32_t>(std::chrono::sys_days(date).time_since_epoch().count());
}

std::string day_text(std::int32_t day) {
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day))};
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text;
}

result<std::vector<usage_by>> parse_usage_by(std::string_view text, std::span<const usage_by> allowed) {
  std::vector<usage_by> out;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    text.remove_prefix(comma == text.npos ? text.size() : comma + 1);
    const auto found = std::ranges::find_if(allowed, [word](usage_by by) { return name_of(by) == word; });
    if (found == allowed.end()) {
      std::string words;
      for (const usage_by by : allowed) words.append(words.empty() ? "" : ", ").append(name_of(by));
      return fail(errc::invalid_request, "must be some of " + words + ", with commas between");
    }
    if (std::ranges::find(out, *found) == out.end()) out.push_back(*found);
  }
  return out;
}

json::array usage_as_json(const std::vector<usage_entry>& rows, const std::vector<usage_by>& by,
                          const report_names& names, report_for whom) {
  json::array out;
  for (const usage_entry& u : rows) {
    json::object row;
    for (const usage_by b : by) row[name_of(b)] = json::string(text_of(u, b, names));
    for (const figure& f : figures) {
      if (!is_shown(f, whom)) continue;
      const std::string text = f.text(u);
      if (f.is_amount) {
        row[f.name] = json::string(text);
      } else {
        std::int64_t number = 0;
        std::from_chars(text.data(), text.data() + text.size(), number);
        row[f.name] = number;
      }
    }
    out.push_back(std::move(row));
  }
  return out;
}

std::string usage_as_csv(const std::vector<usage_entry>& rows, const std::vector<usage_by>& by,
                         const report_names& names, report_for whom) {
  std::string out;
  const auto add = [&out, is_first = true](std::string_view text) mutable {
    if (!is_first) out += ',';
    is_first = false;
    out += text;
  };
  {
    auto head = add;
    for (const usage_by b : by) head(name_of(b));
    for (const figure& f : figures) {
      if (is_shown(f, whom)) head(f.name);
    }
    out += "\r\n";
  }
  for (const usage_entry& u : rows) {
    auto line = add;
    for (const usage_by b : by) line(csv_field(text_of(u, b, names)));
    for (const figure& f : figures) {
      if (is_shown(f, whom)) line(f.text(u));
    }
    out += "\r\n";
  }
  return out;
}

}  // namespace relay
