#include "server/upstream/connection.hpp"

#include <sys/socket.h>

#include <boost/asio/write.hpp>
#include <cerrno>

namespace relay {

connection::connection(asio::io_context& loop, deadlines& d, tls_client* tls)
    : socket_(loop.get_executor()),
      tls_(tls),
      deadline_(
          d,
          [](void* self) {
            auto& c = *static_cast<connection*>(self);
            c.timed_out_ = true;
            c.close();
          },
          this) {}

awaitable<boost::system::error_code> connection::connect(const asio::ip::tcp::endpoint& to) {
  boost::system::error_code ec;
  socket_.close(ec);
  auto [failed] = co_await socket_.async_connect(to, as_result);
  if (failed) co_return failed;
  socket_.set_option(asio::ip::tcp::no_delay(true), ec);
  co_return boost::system::error_code{};
}

awaitable<boost::system::error_code> connection::handshake(const std::string& host) {
  if (tls_ == nullptr) co_return boost::system::error_code{};
  stream_ = tls_->make_stream(socket_, host);
  auto [ec] = co_await stream_->async_handshake(asio::ssl::stream_base::client, as_result);
  co_return ec;
}

awaitable<connection::io_result> connection::write(std::string_view bytes) {
  const auto buffer = asio::buffer(bytes.data(), bytes.size());
  if (stream_) {
    auto [ec, n] = co_await asio::async_write(*stream_, buffer, as_result);
    co_return io_result{ec, n};
  }
  auto [ec, n] = co_await asio::async_write(socket_, buffer, as_result);
  co_return io_result{ec, n};
}

awaitable<connection::io_result> connection::read_some(asio::mutable_buffer into) {
  if (stream_) {
    auto [ec, n] = co_await stream_->async_read_some(into, as_result);
    co_return io_result{ec, n};
  }
  auto [ec, n] = co_await socket_.async_read_some(into, as_result);
  co_return io_result{ec, n};
}

bool connection::looks_alive() {
  if (!socket_.is_open()) return false;
  char byte = 0;
  const auto n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  // Bytes without a request: an end, an alert, or a response that we no longer wait for. With TLS 1.3
  // it may be a session ticket; the connection is given up all the same.
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void connection::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace relay
