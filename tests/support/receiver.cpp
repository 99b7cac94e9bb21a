#include "tests/support/receiver.hpp"

#include <boost/asio/post.hpp>
#include <stdexcept>

#include "common/base/ascii.hpp"

namespace relay::test {

receiver::receiver(answer a) : answer_(std::move(a)) {
  http::application service;
  service.handle = [this](http::request& r) { return take(r); };
  service.refuse = [](const error& e, const http::unrouted&) {
    return http::json_reply(e.http_status(), {});
  };
  listener_ = std::make_unique<http::listener>(loop_, http::bind(loop_, *parse_listen("127.0.0.1:0")),
                                               std::move(service), http::session_limits{},
                                               http::listener_limits{}, shared_);
  auto sweeping = deadlines_.run();
  asio::co_spawn(loop_.get_executor(), std::move(sweeping), asio::detached);
  auto accepting = listener_->run();
  asio::co_spawn(loop_.get_executor(), std::move(accepting), asio::detached);
  thread_ = std::thread([this] { loop_.run(); });
}

receiver::~receiver() {
  loop_.stop();
  thread_.join();
}

awaitable<http::reply> receiver::take(http::request& r) {
  message m;
  m.path = r.target;
  m.body = r.body;
  for (const auto& f : *r.headers) {
    const std::string name = lower(f.name);
    if (name.starts_with("webhook-") || name == "traceparent") m.headers[name] = f.value;
  }
  const int status = answer_(m);
  {
    const std::lock_guard lock(mutex_);
    received_.push_back(std::move(m));
  }
  came_.notify_all();
  if (status == 0) throw std::runtime_error("the connection ends");
  if (status < 0) {
    steady_timer forever(loop_.get_executor());
    forever.expires_at(steady_clock::time_point::max());
    co_await forever.async_wait(as_result);
  }
  http::reply out = http::json_reply(status, {});
  if (status / 100 == 3) out.add_header("Location", url("/elsewhere"));
  co_return out;
}

std::vector<receiver::message> receiver::received() const {
  const std::lock_guard lock(mutex_);
  return received_;
}

std::vector<receiver::message> receiver::wait_until(
    const std::function<bool(const std::vector<message>&)>& enough) const {
  std::unique_lock lock(mutex_);
  if (!came_.wait_for(lock, std::chrono::seconds(20), [&] { return enough(received_); })) {
    throw std::runtime_error("only " + std::to_string(received_.size()) + " messages came");
  }
  return received_;
}

std::vector<receiver::message> receiver::wait_for(std::size_t messages) const {
  return wait_until([messages](const auto& all) { return all.size() >= messages; });
}

}  // namespace relay::test
