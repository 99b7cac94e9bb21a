#include "tests/support/child_relay.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "tests/support/file_changes.hpp"

extern char** environ;

namespace relay::test {

std::string program(const std::string& name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

std::uint16_t free_port() {
  // Sockets that are bound and never listen, to the end of the process (SO_REUSEADDR lets a relay listen
  // beside them): the system gives their ports to nobody else, also while the relay is down.
  static std::mutex mutex;
  static boost::asio::io_context loop;
  static std::deque<boost::asio::ip::tcp::socket> holders;
  const std::lock_guard lock(mutex);
  auto& held = holders.emplace_back(loop, boost::asio::ip::tcp::v4());
  held.set_option(boost::asio::socket_base::reuse_address(true));
  held.bind({boost::asio::ip::make_address("127.0.0.1"), 0});
  return held.local_endpoint().port();
}

child_relay::child_relay(const temp_dir& dir, std::uint16_t port, const std::string& upstream_url,
                         const std::string& more)
    : port_(port),
      config_(dir.file("relay.toml")),
      database_(dir.file("relay.db")),
      log_(dir.file("relay.log")) {
  std::ofstream out(config_);
  out << "[server]\nlisten = \"127.0.0.1:" << port << "\"\npublic_url = \"http://127.0.0.1:" << port
      << "\"\nshutdown_grace_ms = 3000\nsubmit_wait_ms = 2000\n"
      << "[storage]\npath = \"" << database_ << "\"\n"
      << "[submit]\nretry_ms = 20\nretry_max_ms = 100\nsettle_ms = 300\nreconcile_deadline_ms = 4000\n"
      << "deadline_ms = 2000\n"
      << "[poll]\ninterval_ms = 20\nretry_max_ms = 200\n"
      << "[callbacks]\nallow_private_addresses = true\ntimeout_ms = 3000\n"
      << "retry_after_ms = [20, 50, 100, 200, 400, 1000, 2000, 4000]\n"
      << "[admin]\nlisten = \"\"\n[log]\nfile = \"" << log_ << "\"\n"
      << "[[upstream]]\nname = \"sim\"\nurl = \"" << upstream_url << "\"\nkey = \"luma-sim-key\"\n"
      << "first_byte_timeout_ms = 300\n"
      << more;
}

child_relay::~child_relay() {
  kill();
}

bool child_relay::start(const std::string& fault) {
  file_changes changes(std::filesystem::path(database_).parent_path().string());
  std::vector<std::string> variables;
  for (char** v = environ; *v != nullptr; ++v) variables.emplace_back(*v);
  if (!fault.empty()) variables.push_back("RELAY_FAULT=" + fault);
  std::vector<char*> env;
  for (std::string& v : variables) env.push_back(v.data());
  env.push_back(nullptr);
  std::string name = program("luma-relay-faulty");
  std::string config = config_;
  char* argv[] = {name.data(), config.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 2, (log_ + ".err").c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  const int failed = ::posix_spawn(&pid_, name.c_str(), &actions, nullptr, argv, env.data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("cannot start " + name);
  end_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  // Until a connection is accepted, or the process has ended: looked at again when it has written something.
  boost::asio::io_context loop;
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  do {
    if (!running()) return false;
    boost::asio::ip::tcp::socket s(loop);
    boost::system::error_code ec;
    s.connect({boost::asio::ip::make_address("127.0.0.1"), port_}, ec);
    if (!ec) return true;
  } while (changes.wait_until(give_up, end_));
  throw std::runtime_error("the relay does not listen: " + log_tail());
}

bool child_relay::running() {
  if (pid_ < 0) return false;
  if (::waitpid(pid_, nullptr, WNOHANG) == 0) return true;
  forget();
  return false;
}

void child_relay::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  wait();
}

void child_relay::ask_to_stop() {
  if (pid_ > 0) ::kill(pid_, SIGTERM);
}

int child_relay::wait() {
  int status = 0;
  if (pid_ > 0) ::waitpid(pid_, &status, 0);
  forget();
  return status;
}

void child_relay::forget() {
  pid_ = -1;
  if (end_ >= 0) ::close(end_);
  end_ = -1;
}

std::string child_relay::command(const std::string& arguments) const {
  const std::string line = program("luma-relay") + " " + arguments + " --config " + config_ + " 2>/dev/null";
  std::FILE* out = ::popen(line.c_str(), "r");
  if (out == nullptr) throw std::runtime_error("cannot run " + line);
  std::string text;
  char part[4096];
  while (const std::size_t n = std::fread(part, 1, sizeof part, out)) text.append(part, n);
  ::pclose(out);
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string child_relay::log_tail() const {
  std::string text;
  for (const std::string& file : {log_, log_ + ".err"}) {
    std::ifstream in(file);
    text += std::string{std::istreambuf_iterator<char>(in), {}};
  }
  return text.size() > 6000 ? text.substr(text.size() - 6000) : text;
}

}  // namespace relay::test
