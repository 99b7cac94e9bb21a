#pragma once

// Log lines: spdlog with a sink that hands them to a thread of its own, so that no thread that logs waits for
// the reader of the log (rule R3).

#include <spdlog/logger.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/error.hpp"
#include "config/config.hpp"

namespace relay {

/// Thread-safe. At most 4 MiB of lines wait to be written; beyond that the oldest are dropped, and a line
/// says how many. Throws spdlog::spdlog_ex when the file cannot be opened.
std::shared_ptr<spdlog::logger> make_logger(const log_config& c);
/// Lines from now on go to this file, which is opened anew: the old one may have been moved away. Empty: as
/// before. Errors: internal; nothing changes.
result<void> reopen_log(spdlog::logger& log, const std::string& path);
/// A message that begins with it holds members of the line's JSON object, each after a comma, in place of a
/// text; of loggers that write JSON.
inline constexpr char json_members = '\x01';

/// Before the process ends: waits until all lines are written, for a second at most.
void finish_log(spdlog::logger& log);
/// Lines of this process that were dropped, or could not be written.
std::uint64_t log_lines_dropped();

/// A logger that says nothing.
std::shared_ptr<spdlog::logger> silent_logger();

/// Appends the target of a request as it may stand in the log: no secret of a callback address, and of the
/// query only the values that are none.
void append_loggable_target(std::string& out, std::string_view target);

}  // namespace relay
