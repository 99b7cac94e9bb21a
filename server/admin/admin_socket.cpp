#include "server/admin/admin_socket.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

namespace relay {

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

admin_socket::admin_socket(asio::io_context& loop, const std::string& path, http::application app,
                           http::session_limits limits, http::session_shared& shared)
    : loop_(loop),
      path_(path),
      app_(std::move(app)),
      limits_(limits),
      shared_(shared),
      acceptor_(loop.get_executor()) {
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
  http::session one(std::move(s), "local", app_, limits_, shared_);
  const auto place = sessions_.insert(sessions_.end(), &one);
  if (stopping_) one.drain();
  try {
    co_await one.run();
  } catch (const std::exception& e) {  // a bug, or no memory: this connection ends, the others go on
    app_.problem({"a connection of the admin socket ended by an exception: " + std::string(e.what())});
  }
  sessions_.erase(place);
}

void admin_socket::drain() {
  stopping_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (http::session* s : sessions_) s->drain();
}

void admin_socket::abort() {
  drain();
  for (http::session* s : sessions_) s->abort();
}

}  // namespace relay
