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

}  // namespace

listener::listener(asio::io_context& loop, const listen_address& at, application app, session_limits limits,
                   listener_limits caps, session_shared& shared)
    : loop_(loop),
      acceptor_(loop.get_executor()),
      app_(std::move(app)),
      limits_(limits),
      caps_(std::move(caps)),
      shared_(shared),
      by_address_(caps_.per_address) {
  const auto endpoint = endpoint_of(at);
  try {
    acceptor_.open(endpoint.protocol());
    acceptor_.set_option(asio::socket_base::reuse_address(true));
    acceptor_.bind(endpoint);
    acceptor_.listen(4096);
  } catch (const boost::system::system_error& e) {
    // A code without the place in Asio that it came from.
    throw boost::system::system_error(boost::system::error_code(e.code().value(), e.code().category()),
                                      "cannot listen on " + at.host + ":" + std::to_string(at.port));
  }
  port_ = acceptor_.local_endpoint().port();
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
