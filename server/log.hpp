#pragma once

// Log lines: spdlog with a sink that collects them and is flushed by the loop, instead of one write a line.

#include <spdlog/logger.h>
#include <memory>
#include <string>

#include "config/config.hpp"

namespace relay {

/// Thread-safe. Throws spdlog::spdlog_ex when the file cannot be opened.
std::shared_ptr<spdlog::logger> make_logger(const log_config& c);

/// A logger that says nothing.
std::shared_ptr<spdlog::logger> silent_logger();

}  // namespace relay
