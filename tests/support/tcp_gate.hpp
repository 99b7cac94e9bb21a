#pragma once

// A TCP gate between two parties: lets bytes through, refuses, holds, swallows answers, cuts. A thread of its
// own.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace relay::test {

class tcp_gate {
 public:
  explicit tcp_gate(std::uint16_t to);
  ~tcp_gate();

  std::uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  void let_through() { set(mode::open); }
  /// Nobody listens: new connections are refused, with no byte exchanged.
  void refuse_new() { set(mode::refuse); }
  /// New connections are accepted, and their bytes wait until let_through().
  void hold() { set(mode::hold); }
  /// Bytes go to the far side; as soon as it answers, the connection is cut and the answer lost.
  void swallow_answers() { set(mode::swallow); }
  /// Cuts every connection there is.
  void cut_all();
  /// Until a connection has come.
  void wait_for_connection();

 private:
  enum class mode { open, refuse, hold, swallow };
  struct link;
  void set(mode m);
  void listen();
  void accept();
  void start(const std::shared_ptr<link>& l);
  void pump(const std::shared_ptr<link>& l, bool back);

  boost::asio::io_context loop_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> working_{loop_.get_executor()};
  boost::asio::ip::tcp::socket
      holder_;  // bound, never listens: nobody else gets the port while the gate refuses
  boost::asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_ = 0;
  std::uint16_t to_;
  mode mode_ = mode::open;                    // loop thread
  std::list<std::weak_ptr<link>> links_;      // loop thread
  std::list<std::shared_ptr<link>> waiting_;  // loop thread: held
  std::mutex mutex_;
  std::condition_variable came_;
  int connections_ = 0;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace relay::test
