#pragma once

// A client's callback endpoint: takes every request, remembers it, and answers as told. A thread of its own.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/http/listener.hpp"

namespace relay::test {

class receiver {
 public:
  struct message {
    std::string path;
    std::map<std::string, std::string> headers;  // those that begin with "webhook-", and traceparent
    std::string body;
    std::string id() const { return headers.at("webhook-id"); }
    json::object json() const { return parse_lenient(body).value().as_object(); }
    std::string state() const { return std::string(text_of(json(), "state")); }
  };
  /// The status of each answer; 0: none, the connection ends; -1: never. A redirect leads to "/elsewhere".
  using answer = std::function<int(const message&)>;

  explicit receiver(answer a = [](const message&) { return 200; });
  ~receiver();

  std::uint16_t port() const { return listener_->port(); }
  std::string url(const std::string& path = "/hook") const {
    return "http://127.0.0.1:" + std::to_string(port()) + path;
  }
  std::vector<message> received() const;
  /// What was received, once `enough` says so; throws after 20 s.
  std::vector<message> wait_until(const std::function<bool(const std::vector<message>&)>& enough) const;
  std::vector<message> wait_for(std::size_t messages) const;

 private:
  awaitable<http::reply> take(http::request& r);

  answer answer_;
  asio::io_context loop_{1};
  deadlines deadlines_{loop_};
  http::session_shared shared_{deadlines_};
  std::unique_ptr<http::listener> listener_;
  mutable std::mutex mutex_;
  mutable std::condition_variable came_;
  std::vector<message> received_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace relay::test
