#include "server/http/listener.hpp"

#include <boost/asio/ip/address.hpp>

namespace relay::http {
namespace {

asio::ip::tcp::endpoint endpoint_of(const listen_address& at) {
  boost::system::error_code ec;
  const auto address = asio::ip::make_address(at.host == "localhost" ? "127.0.0.1" : at.host, ec);
  if (ec) throw boost::system::system_error(ec, "cannot listen on " + at.host + ": it must be an IP address");
  return {address, at.port};
}

// A code without the place in Asio that it came from.
[[noreturn]] void refuse(const boost::system::error_code& ec, const std::string& host, std::uint16_t port) {
  throw boost::system::system_error(boost::system::error_code(ec.value(), ec.category()),
                                    "cannot listen on " + host + ":" + std::to_string(port));
}

}  // namespace

acceptor bind(asio::io_context& loop, const listen_address& at) {
  const auto endpoint = endpoint_of(at);
  acceptor out(loop.get_executor());
  try {
    out.open(endpoint.protocol());
    out.set_option(asio::socket_base::reuse_address(true));
    out.bind(endpoint);
  } catch (const boost::system::system_error& e) {
    refuse(e.code(), at.host, at.port);
  }
  return out;
}

listener::listener(asio::io_context& loop, acceptor at, application app, session_limits limits,
                   listener_limits caps, session_shared& shared)
    : loop_(loop),
      acceptor_(std::move(at)),
      app_(std::move(app)),
      limits_(limits),
      caps_(std::move(caps)),
      shared_(shared),
      by_address_(caps_.per_address) {
  const auto endpoint = acceptor_.local_endpoint();
  port_ = endpoint.port();
  boost::system::error_code ec;
  acceptor_.listen(4096, ec);
  if (ec) refuse(ec, endpoint.address().to_string(), port_);
}

awaitable<> listener::run() {
  steady_timer pause(loop_.get_executor());
  while (!stopping_) {
    auto [ec, socket] = co_await acceptor_.async_accept(as_result);
    if (stopping_) break;
    if (ec) {
      // Out of file descriptors or memory: both pass when connections end.
      pause.expires_after(std::chrono::milliseconds(100));
      co_await pause.async_wait(as_result);
      continue;
    }
    // A peer that has gone already has no address.
    boost::system::error_code gone;
    const auto remote = socket.remote_endpoint(gone);
    if (gone) continue;
    std::string address = remote.address().to_string();
    const auto parsed = parse_ip(address);
    const bool is_proxy = parsed && caps_.trusted_proxies.contains(*parsed);
    // Closed by going out of scope.
    if (open_ >= caps_.connections) {
      ++refused_.in_all;
      continue;
    }
    if (!is_proxy && !by_address_.enter(address)) {
      ++refused_.by_address;
      continue;
    }
    // A response is one write: waiting to fill a segment would only delay it.
    socket.set_option(asio::ip::tcp::no_delay(true), gone);
    auto serving = serve(std::move(socket), std::move(address), is_proxy);
    asio::co_spawn(loop_.get_executor(), std::move(serving), asio::detached);
  }
}

awaitable<> listener::serve(tcp_socket socket, std::string address, bool is_proxy) {
  const behind_proxy proxied{caps_.trusted_proxies, by_address_};
  session s(std::move(socket), address, app_, limits_, shared_, is_proxy ? &proxied : nullptr);
  ++open_;
  const auto place = sessions_.insert(sessions_.end(), &s);
  if (stopping_) s.drain();
  try {
    co_await s.run();
  } catch (const std::exception& e) {  // a bug, or no memory: this connection ends, the others go on
    app_.problem({"a connection ended by an exception: " + std::string(e.what())});
  }
  sessions_.erase(place);
  --open_;
  if (!is_proxy) by_address_.leave(address);
}

void listener::drain() {
  stopping_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (session* s : sessions_) s->drain();
}

void listener::abort() {
  drain();
  for (session* s : sessions_) s->abort();
}

}  // namespace relay::http
