#include "server/admin.hpp"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <unistd.h>

#include <filesystem>

#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "common/base/text.hpp"

namespace relay {
namespace {

constexpr std::size_t max_command = 64 * 1024;

}  // namespace

std::string admin_socket_path(const std::string& database) {
  return database + ".sock";
}

socket_address::socket_address(const std::string& path) : name_(path) {
  constexpr std::size_t room = 107;
  if (path.size() <= room) return;
  const std::filesystem::path whole(path);
  folder_ =
      ::open(whole.has_parent_path() ? whole.parent_path().c_str() : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder_ < 0) throw boost::system::system_error(errno, boost::system::system_category(), path);
  name_ = "/proc/self/fd/" + std::to_string(folder_) + "/" + whole.filename().string();
}

socket_address::~socket_address() {
  if (folder_ >= 0) ::close(folder_);
}

admin_socket::admin_socket(asio::io_context& loop, const std::string& path, admin_context in,
                           spdlog::logger& log)
    : loop_(loop), path_(path), in_(in), log_(log), acceptor_(loop.get_executor()) {
  ::unlink(path_.c_str());  // left by a process that died; the database's lock says that none lives
  acceptor_.open();
  const socket_address at(path_);
  acceptor_.bind(at.endpoint());
  acceptor_.listen();
}

admin_socket::~admin_socket() {
  ::unlink(path_.c_str());
}

awaitable<> admin_socket::run() {
  while (!stopping_) {
    auto [ec, s] = co_await acceptor_.async_accept(as_result);
    if (stopping_) break;
    if (ec) {
      steady_timer pause(loop_.get_executor());
      pause.expires_after(std::chrono::milliseconds(100));
      co_await pause.async_wait(as_result);
      continue;
    }
    auto serving = serve(std::move(s));
    asio::co_spawn(loop_.get_executor(), std::move(serving), asio::detached);
  }
}

awaitable<> admin_socket::serve(socket s) {
  // Shared with the timer's handler, which may still be queued when this ends.
  const auto peer = std::make_shared<socket>(std::move(s));
  steady_timer late(loop_.get_executor());
  late.expires_after(std::chrono::seconds(5));
  auto on_late = [peer](boost::system::error_code ec) {
    boost::system::error_code ignored;
    if (!ec) peer->close(ignored);
  };
  late.async_wait(std::move(on_late));
  std::string line;
  auto buffer = asio::dynamic_buffer(line, max_command);
  auto [ec, n] = co_await asio::async_read_until(*peer, buffer, '\n', as_result);
  if (ec) co_return;
  late.cancel();
  json::object response;
  try {
    json::value request = parse_lenient(std::string_view(line).substr(0, n)).value_or(nullptr);
    const json::object* fields = request.if_object();
    const std::string command = fields == nullptr ? "?"
                                                  : for_log(std::string(text_of(*fields, "command")) + " " +
                                                            std::string(text_of(*fields, "name")) +
                                                            std::string(text_of(*fields, "id")));
    response = co_await run_admin_command(in_, std::move(request));
    const bool done = response["ok"].is_bool() && response["ok"].get_bool();
    log_.info("admin socket: {}: {}", command, done ? "done" : "refused");
  } catch (const std::exception& e) {
    response = {{"ok", false}, {"message", json::string(e.what())}};
  }
  const std::string text = json::serialize(response) + "\n";
  co_await asio::async_write(*peer, asio::buffer(text), as_result);
}

void admin_socket::stop() {
  stopping_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
}

}  // namespace relay
