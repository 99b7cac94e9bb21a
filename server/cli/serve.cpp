#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <thread>

#include "common/base/text.hpp"
#include "config/load.hpp"
#include "server/app.hpp"
#include "server/cli/commands.hpp"
#include "server/cli/config_file.hpp"
#include "server/descriptors.hpp"
#include "server/disk.hpp"
#include "server/log.hpp"

namespace relay::cli {

int serve(const std::string& config_file) {
  auto settings = read_config(config_file);
  if (!settings) return 2;
  ::umask(0077);  // the database, its log and its admin socket are the owner's
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();

  std::shared_ptr<spdlog::logger> log;
  try {
    log = make_logger(settings->log);
  } catch (const spdlog::spdlog_ex& e) {
    std::cerr << "luma-relay: " << e.what() << "\n";
    return 1;
  }
  app_parts parts;
  parts.read_config = [config_file] { return load_config_file(config_file); };
  app relay(std::move(*settings), log, std::move(parts));
  if (auto started = relay.start(); !started) {
    finish_log(*log);
    std::cerr << "luma-relay: cannot start: " << started.error().log.text << "\n";
    return 1;
  }

  // Signals have a loop of their own, so that a second one works whatever the first one's stop is waiting
  // for.
  asio::io_context signals_loop;
  asio::signal_set signals(signals_loop, SIGINT, SIGTERM, SIGHUP);
  int received = 0;
  std::function<void(boost::system::error_code, int)> on_signal = [&](boost::system::error_code ec,
                                                                      int signal) {
    if (ec) return;
    if (signal == SIGHUP) {
      relay.reload();
    } else {
      if (++received > 1) std::_Exit(1);
      relay.stop();
    }
    signals.async_wait(on_signal);
  };
  signals.async_wait(on_signal);
  std::thread signals_thread([&] { signals_loop.run(); });

  const bool well = relay.run();
  signals_loop.stop();
  signals_thread.join();
  return well ? 0 : 1;
}

namespace {

// Why there can be no database at `path`; empty: there can.
std::string problem_of_place(const std::filesystem::path& path) {
  std::error_code ec;
  const auto there = std::filesystem::status(path, ec).type();
  if (there == std::filesystem::file_type::directory)
    return path.string() + " is a folder; name a file in it";
  if (there != std::filesystem::file_type::not_found && there != std::filesystem::file_type::regular)
    return path.string() + " is not a file";
  const std::string folder = path.has_parent_path() ? path.parent_path().string() : ".";
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return {};
  const int why = errno;
  return "nothing can be written in the folder " + folder + " (" + std::strerror(why) + "); " +
         (why == ENOENT ? "make it first, for the user that runs the relay"
                        : "the user that runs the relay must be able to write in it");
}

}  // namespace

int check_config(const std::string& config_file, bool probe) {
  const auto settings = read_config(config_file);
  if (!settings) return 2;
  if (probe) return probe_upstreams(*settings, "");
  std::cout << print_config(*settings);
  if (const std::string wrong = problem_of_place(settings->storage.path); !wrong.empty()) {
    std::cerr << "luma-relay: storage.path: " << wrong << "\n";
    return 2;
  }
  const disk_limits limits = disk_limits_for(settings->storage.path, settings->storage.min_free_bytes,
                                             settings->storage.ballast_bytes);
  if (limits.total > 0) {
    std::cout << "\n# On this disk of " << (limits.total >> 20)
              << " MiB: new jobs are refused when less than " << (limits.min_free >> 20)
              << " MiB of it are free, beside\n# what open jobs may still write; ballast "
              << (limits.ballast >> 20) << " MiB, the database's log at most about " << (limits.log >> 20)
              << " MiB.\n";
  }
  return 0;
}

int print_example() {
  std::cout << example_config();
  return 0;
}

int print_reference() {
  std::cout << reference_table();
  return 0;
}

}  // namespace relay::cli
