#pragma once

// The relay as a process of its own, which can be killed.

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "tests/support/http_client.hpp"
#include "tests/support/temp_dir.hpp"

namespace relay::test {

/// Where the programs are: next to this one.
std::string program(const std::string& name);

/// A port that nobody listens on.
std::uint16_t free_port();

class child_relay {
 public:
  /// Writes the configuration; `more` is TOML that comes after it, and so ends in the [[upstream]] section.
  child_relay(const temp_dir& dir, std::uint16_t port, const std::string& upstream_url,
              const std::string& more = {});
  ~child_relay();

  /// Starts the program, and waits until it listens. `fault`: see luma-relay-faulty. False: it has ended
  /// first.
  bool start(const std::string& fault = {});
  /// kill -9.
  void kill();
  /// SIGTERM.
  void ask_to_stop();
  /// Until it has ended; the status as of waitpid.
  int wait();
  bool running();
  /// Can be read when the process has ended (pidfd); -1: there is none.
  int end() const { return end_; }

  pid_t pid() const { return pid_; }
  std::uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  const std::string& config_file() const { return config_; }
  const std::string& database() const { return database_; }
  /// Runs `luma-relay ARGUMENTS --config …` and returns what it prints on standard output.
  std::string command(const std::string& arguments) const;
  /// The end of its log, for the messages of failures.
  std::string log_tail() const;

 private:
  const std::uint16_t port_;
  const std::string config_;
  const std::string database_;
  const std::string log_;
  void forget();

  pid_t pid_ = -1;
  int end_ = -1;
};

}  // namespace relay::test
