#include "server/upstream/connection.hpp"

#include <sys/socket.h>

#include <openssl/ssl.h>
#include <boost/asio/write.hpp>
#include <cerrno>

namespace relay {

connection::connection(asio::io_context& loop, deadlines& d)
    : socket_(loop.get_executor()),
      deadline_(
          d,
          [](void* self) {
            auto& c = *static_cast<connection*>(self);
            c.timed_out_ = true;
            c.close();
          },
          this) {}

// OpenSSL lets no session be resumed whose connection ended without a goodbye; HTTP has ends of its own.
connection::~connection() {
  const auto end = [](auto& s) {
    if (s) SSL_set_shutdown(s->native_handle(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  };
  end(inner_);
  end(outer_);
}

awaitable<boost::system::error_code> connection::connect(const asio::ip::tcp::endpoint& to) {
  boost::system::error_code ec;
  socket_.close(ec);
  auto [failed] = co_await socket_.async_connect(to, as_result);
  if (failed) co_return failed;
  socket_.set_option(asio::ip::tcp::no_delay(true), ec);
  co_return boost::system::error_code{};
}

awaitable<boost::system::error_code> connection::handshake(tls_client& tls, const std::string& host) {
  if (outer_) {
    inner_ = tls.make_stream(*outer_, host);
    auto [ec] = co_await inner_->async_handshake(asio::ssl::stream_base::client, as_result);
    co_return ec;
  }
  outer_ = tls.make_stream(socket_, host);
  auto [ec] = co_await outer_->async_handshake(asio::ssl::stream_base::client, as_result);
  co_return ec;
}

awaitable<connection::io_result> connection::write(std::string_view bytes) {
  const auto buffer = asio::buffer(bytes.data(), bytes.size());
  const auto operation = [&buffer](auto& s) { return asio::async_write(s, buffer, as_result); };
  auto writing = on_stream(operation);
  auto [ec, n] = co_await std::move(writing);
  co_return io_result{ec, n};
}

awaitable<connection::io_result> connection::read_some(asio::mutable_buffer into) {
  const auto operation = [&into](auto& s) { return s.async_read_some(into, as_result); };
  auto reading = on_stream(operation);
  auto [ec, n] = co_await std::move(reading);
  co_return io_result{ec, n};
}

bool connection::looks_alive() const {
  if (!socket_.is_open()) return false;
  char byte = 0;
  const auto n = ::recv(const_cast<tcp_socket&>(socket_).native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  // Bytes without a request: an end, an alert, or a response that we no longer wait for.
  if (n > 0) return !used && outer_ != nullptr;
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

bool connection::resumed() const {
  if (inner_) return SSL_session_reused(inner_->native_handle()) == 1;
  return outer_ && SSL_session_reused(outer_->native_handle()) == 1;
}

void connection::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace relay
