#include "tests/support/tcp_gate.hpp"

#include <fcntl.h>

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <future>

namespace relay::test {
namespace asio = boost::asio;
using boost::system::error_code;

struct tcp_gate::link {
  explicit link(asio::io_context& loop) : near(loop), far(loop) {}
  asio::ip::tcp::socket near, far;
  std::array<char, 16 * 1024> forth{}, back{};
  void cut() {
    error_code ignored;
    near.set_option(asio::socket_base::linger(true, 0), ignored);  // a reset, not an end
    near.close(ignored);
    far.close(ignored);
  }
};

tcp_gate::tcp_gate(std::uint16_t to) : holder_(loop_), acceptor_(loop_), to_(to) {
  const asio::ip::tcp::endpoint anywhere(asio::ip::make_address("127.0.0.1"), 0);
  holder_.open(anywhere.protocol());
  holder_.set_option(asio::socket_base::reuse_address(true));
  holder_.bind(anywhere);
  port_ = holder_.local_endpoint().port();
  listen();
  thread_ = std::thread([this] { loop_.run(); });
}

tcp_gate::~tcp_gate() {
  loop_.stop();
  thread_.join();
}

void tcp_gate::listen() {
  const asio::ip::tcp::endpoint at(asio::ip::make_address("127.0.0.1"), port_);
  acceptor_.open(at.protocol());
  ::fcntl(acceptor_.native_handle(), F_SETFD, FD_CLOEXEC);  // a child would go on listening
  acceptor_.set_option(asio::socket_base::reuse_address(true));
  acceptor_.bind(at);
  acceptor_.listen();
  accept();
}

void tcp_gate::set(mode m) {
  std::promise<void> done;
  asio::post(loop_, [&] {
    const bool was_closed = mode_ == mode::refuse;
    mode_ = m;
    error_code ignored;
    if (m == mode::refuse) acceptor_.close(ignored);
    if (was_closed && m != mode::refuse) {
      listen();
    }
    if (m == mode::open || m == mode::swallow) {
      for (const auto& l : waiting_) start(l);
      waiting_.clear();
    }
    done.set_value();
  });
  done.get_future().wait();
}

void tcp_gate::cut_all() {
  std::promise<void> done;
  asio::post(loop_, [&] {
    for (const auto& weak : links_) {
      if (const auto l = weak.lock()) l->cut();
    }
    links_.clear();
    done.set_value();
  });
  done.get_future().wait();
}

void tcp_gate::wait_for_connection() {
  std::unique_lock lock(mutex_);
  came_.wait(lock, [this] { return connections_ > 0; });
}

void tcp_gate::accept() {
  auto l = std::make_shared<link>(loop_);
  acceptor_.async_accept(l->near, [this, l](error_code ec) {
    if (ec) return;
    accept();
    {
      const std::lock_guard lock(mutex_);
      ++connections_;
    }
    came_.notify_all();
    links_.push_back(l);
    if (mode_ == mode::hold) {
      waiting_.push_back(l);
    } else {
      start(l);
    }
  });
}

void tcp_gate::start(const std::shared_ptr<link>& l) {
  l->far.async_connect({asio::ip::make_address("127.0.0.1"), to_}, [this, l](error_code ec) {
    if (ec) return l->cut();
    pump(l, false);
    pump(l, true);
  });
}

void tcp_gate::pump(const std::shared_ptr<link>& l, bool back) {
  auto& from = back ? l->far : l->near;
  auto& bytes = back ? l->back : l->forth;
  from.async_read_some(asio::buffer(bytes), [this, l, back, &bytes](error_code ec, std::size_t n) {
    if (ec || (back && mode_ == mode::swallow)) return l->cut();
    auto& to = back ? l->near : l->far;
    asio::async_write(to, asio::buffer(bytes.data(), n), [this, l, back](error_code failed, std::size_t) {
      if (failed) return l->cut();
      pump(l, back);
    });
  });
}

}  // namespace relay::test
