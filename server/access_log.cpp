#include "server/access_log.hpp"

#include <spdlog/logger.h>

#include <array>
#include <charconv>

#include "common/base/json_text.hpp"
#include "common/base/text.hpp"
#include "server/log.hpp"

namespace relay {
namespace {

constexpr std::size_t most_of_why = 300;

template <class Number>
void append_number(std::string& out, Number n) {
  std::array<char, 24> digits;
  out.append(digits.data(), std::to_chars(digits.begin(), digits.end(), n).ptr);
}

log_config with_its_own_file(log_config c) {
  c.file = c.access_file;
  c.level = "info";
  return c;
}

}  // namespace

access_log::access_log(const log_config& c, std::shared_ptr<spdlog::logger> main)
    : config_(c),
      log_(c.access_file.empty() ? std::move(main) : make_logger(with_its_own_file(c))),
      has_file_(!c.access_file.empty()) {}

bool access_log::is_wanted(int status) {
  if (config_.access == "off") return false;
  if (status >= 400) return true;
  return config_.access == "all" && succeeded_++ % config_.access_sample == 0;
}

void access_log::write(const http::access_record& a) {
  if (!log_->should_log(spdlog::level::info) || !is_wanted(a.status)) return;
  line_.clear();
  if (config_.format == "json")
    write_json(a);
  else
    write_text(a);
  log_->info(std::string_view(line_));
}

// Without a format string.
void access_log::write_text(const http::access_record& a) {
  const auto or_dash = [](std::string_view text) { return text.empty() ? "-" : text; };
  line_.append(a.of.method_name).append(" ");
  append_loggable_target(line_, a.of.target);
  line_.append(" ");
  append_number(line_, a.status);
  line_.append(" ");
  append_number(line_, a.bytes);
  line_.append("B ");
  append_number(line_, a.took.count());
  line_.append("us id=").append(a.of.id);
  line_.append(" account=").append(or_dash(a.of.account_name));
  line_.append(" token=").append(or_dash(a.of.token_name));
  line_.append(" task=").append(or_dash(a.of.task_id));
  line_.append(" from=").append(a.of.peer);
  if (a.of.why.empty()) return;
  line_.append(" why=\"");
  append_for_log(line_, a.of.why, most_of_why);
  line_.append("\"");
}

// Members of a line's object; what has no value is left out.
void access_log::write_json(const http::access_record& a) {
  line_ += json_members;
  const auto text = [this](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    line_.append(",\"").append(key).append("\":");
    append_json(line_, value);
  };
  const auto number = [this](std::string_view key, auto value) {
    line_.append(",\"").append(key).append("\":");
    append_number(line_, value);
  };
  std::string target;
  append_loggable_target(target, a.of.target);
  text("message", std::string(a.of.method_name) + " " + target + " " + std::to_string(a.status));
  text("request_id", a.of.id);
  text("method", a.of.method_name);
  text("route", a.of.route);
  number("status", a.status);
  number("bytes", a.bytes);
  number("duration_us", a.took.count());
  text("account", a.of.account_name);
  text("token", a.of.token_name);
  text("task", a.of.task_id);
  text("upstream", a.of.upstream);
  text("from", a.of.peer);
  text("code", a.of.refusal);
  text("why", cut(a.of.why, most_of_why));
}

result<void> access_log::use(const log_config& c) {
  if (has_file_ && !c.access_file.empty()) {
    if (auto opened = reopen_log(*log_, c.access_file); !opened) return opened;
  }
  config_.access = c.access;
  config_.access_sample = c.access_sample;
  return {};
}

void access_log::finish() {
  if (has_file_) finish_log(*log_);
}

}  // namespace relay
