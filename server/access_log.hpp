#pragma once

// One line for each request, or for those that a setting wants: in the relay's log, or in a file of its own.
// Loop thread.

#include <memory>
#include <string>

#include "config/config.hpp"
#include "server/http/session.hpp"

namespace spdlog {
class logger;
}

namespace relay {

class access_log {
 public:
  /// Throws spdlog::spdlog_ex when the file cannot be opened.
  access_log(const log_config& c, std::shared_ptr<spdlog::logger> main);

  void write(const http::access_record& a);
  /// What of it can change while the relay runs; its file is opened anew. Errors: internal; nothing changes.
  result<void> use(const log_config& c);
  /// Before the process ends.
  void finish();

 private:
  bool is_wanted(int status);
  void write_text(const http::access_record& a);
  void write_json(const http::access_record& a);

  log_config config_;
  std::shared_ptr<spdlog::logger> log_;
  const bool has_file_;
  std::string line_;            // its memory is kept
  std::int64_t succeeded_ = 0;  // requests, of which one in access_sample is written
};

}  // namespace relay
