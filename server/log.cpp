#include "server/log.hpp"
#include "common/base/text.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>

#include "common/base/json.hpp"

namespace relay {
namespace {

// Lines are kept in the stream's buffer until flush(), which the loop calls ten times a second, or until a
// warning. On a terminal each line is shown at once.
class stream_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit stream_sink(const std::string& path)
      : own_(path.empty() ? nullptr : std::fopen(path.c_str(), "ae")) {
    if (!path.empty() && own_ == nullptr) throw spdlog::spdlog_ex("cannot open the log file " + path, errno);
    at_once_ = own_ == nullptr && ::isatty(STDOUT_FILENO) == 1;
  }
  ~stream_sink() override {
    if (own_ != nullptr) std::fclose(own_);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::fwrite(line.data(), 1, line.size(), stream());
    if (at_once_) std::fflush(stream());
  }
  void flush_() override { std::fflush(stream()); }

 private:
  std::FILE* stream() const { return own_ != nullptr ? own_ : stdout; }
  std::FILE* own_;
  bool at_once_ = false;
};

// %* : the message as a JSON string.
class json_message final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string text =
        json::serialize(json::string(json::string_view(message.payload.data(), message.payload.size())));
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<json_message>(); }
};

}  // namespace

std::shared_ptr<spdlog::logger> make_logger(const log_config& c) {
  auto logger = std::make_shared<spdlog::logger>("luma-relay", std::make_shared<stream_sink>(c.file));
  logger->set_level(spdlog::level::from_str(c.level));
  logger->flush_on(spdlog::level::warn);
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<json_message>('*').set_pattern(
      c.format == "json" ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","message":%*})"
                         : "%Y-%m-%dT%H:%M:%S.%eZ %-7l %v");
  logger->set_formatter(std::move(formatter));
  return logger;
}

std::shared_ptr<spdlog::logger> silent_logger() {
  return std::make_shared<spdlog::logger>("silent", std::make_shared<spdlog::sinks::null_sink_mt>());
}

}  // namespace relay
