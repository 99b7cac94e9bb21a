#pragma once

// Sends requests over N connections and measures how long their responses take. Linux (epoll). One thread.
//
// Closed loop: each connection sends its next request when it has the response to the last.
// Open loop (rate > 0): arrivals are planned evenly. A request that finds no free connection waits for one,
// and its latency counts from the planned time: a server that stalls is charged for all that would have
// arrived meanwhile.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/load_histogram.hpp"
#include "tests/bench/load_requests.hpp"
#include "tests/bench/load_response.hpp"

namespace relay::bench {

constexpr std::int64_t second = 1'000'000'000;

inline std::int64_t now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * second + t.tv_nsec;
}

struct load_options {
  std::uint32_t address = 0;  // network byte order, as is the port
  std::uint16_t port = 0;
  std::size_t connections = 64;
  double seconds = 5;
  double warm_up_seconds = 0;
  double rate = 0;            // requests a second; 0: closed loop
  std::uint64_t count = 0;    // ends after so many; 0: by time only
  double grace_seconds = 10;  // for what is under way at the end
};

struct load_result {
  histogram latency;            // of requests that were planned after the warm-up
  std::uint64_t responses = 0;  // that came after the warm-up and before the end
  std::uint64_t all_responses = 0;
  std::array<std::uint64_t, 6> by_class{};  // [2]: 2xx; the warm-up counts too, here and below
  std::uint64_t bytes = 0;
  std::uint64_t errors = 0;  // no response, or none that HTTP allows
  int first_bad_status = 0;
  std::string first_error;
  double seconds = 0;      // in which `responses` came
  double all_seconds = 0;  // from the first request to the last response
};

class load_generator {
 public:
  load_generator(const load_options& o, request_list& requests)
      : options_(o), requests_(requests), connections_(o.connections), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) throw std::runtime_error("epoll_create1 failed.");
    prctl(PR_SET_TIMERSLACK, 1UL);  // arrivals are planned to the microsecond
    broken_.reserve(o.connections);
  }
  load_generator(const load_generator&) = delete;
  load_generator& operator=(const load_generator&) = delete;
  ~load_generator() {
    for (const auto& c : connections_)
      if (c.fd >= 0) close(c.fd);
    close(epoll_);
  }

  load_result run() {
    for (auto& c : connections_) connect(c);
    begin_ = now();
    warm_ = begin_ + time_of(options_.warm_up_seconds);
    end_ = warm_ + time_of(options_.seconds);
    while (!is_done(now())) {
      send_planned();
      wait();
      reconnect();
    }
    give_up();
    result_.seconds = static_cast<double>(std::min(last_response_, end_) - warm_) / second;
    if (options_.count == 0) result_.seconds = options_.seconds;
    result_.all_seconds = static_cast<double>(last_response_ - begin_) / second;
    return result_;
  }

 private:
  enum class usage : std::uint8_t { free, busy, lost };
  struct connection {
    int fd = -1;
    usage is = usage::lost;
    std::int64_t planned = 0;
    std::string_view unsent;
    response_reader response;
  };

  static constexpr const char* closed = "the connection was closed";
  static std::int64_t time_of(double seconds) { return static_cast<std::int64_t>(seconds * second); }

  // --- What is sent when

  std::int64_t planned_time(std::uint64_t number) const {
    if (options_.rate <= 0) return 0;
    return begin_ + static_cast<std::int64_t>(static_cast<double>(number) * second / options_.rate);
  }
  bool all_planned_sent(std::int64_t at) const {
    if (options_.count > 0 && sent_ >= options_.count) return true;
    return options_.rate > 0 ? planned_time(sent_) >= end_ : at >= end_;
  }
  bool is_done(std::int64_t at) const {
    if (at > end_ + time_of(options_.grace_seconds)) return true;
    return busy_ == 0 && all_planned_sent(at);
  }

  void send_planned() {
    while (free_ > 0) {
      const auto at = now();
      if (all_planned_sent(at)) return;
      const auto planned = options_.rate > 0 ? planned_time(sent_) : at;
      if (planned > at) return;
      // In turn, so that a low rate is spread over all of them.
      while (connections_[turn_ % connections_.size()].is != usage::free) ++turn_;
      auto& c = connections_[turn_++ % connections_.size()];
      --free_;
      begin(c, planned);
    }
  }

  void begin(connection& c, std::int64_t planned) {
    ++sent_;
    ++busy_;
    c.is = usage::busy;
    c.planned = planned;
    c.unsent = requests_.next();
    flush(c);
  }

  void flush(connection& c) {
    while (!c.unsent.empty()) {
      const auto n = ::send(c.fd, c.unsent.data(), c.unsent.size(), MSG_NOSIGNAL);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) fail(c, std::strerror(errno));
        return;
      }
      c.unsent.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  // --- What arrives

  void wait() {
    std::array<epoll_event, 256> events;
    const auto at = now();
    auto until = at + second / 10;
    if (free_ > 0 && !all_planned_sent(at)) until = std::min(until, planned_time(sent_));
    const auto pause = std::max<std::int64_t>(until - at, 0);
    const timespec timeout{pause / second, pause % second};
    const int n = epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    for (int i = 0; i < n; ++i) {
      const auto& e = events[static_cast<std::size_t>(i)];
      auto& c = *static_cast<connection*>(e.data.ptr);
      if (c.is == usage::busy) flush(c);
      receive(c, (e.events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
    }
  }

  void receive(connection& c, bool ends) {
    // Edge-triggered: read until nothing is left. Less than asked for means that nothing is, unless it is the
    // end.
    while (c.fd >= 0) {
      const auto n = ::recv(c.fd, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return fail(c, n == 0 ? closed : std::strerror(errno));
      const auto got = static_cast<std::size_t>(n);
      result_.bytes += got;
      if (c.is != usage::busy) return fail(c, "bytes that nothing asked for");
      take(c, {buffer_.data(), got});
      if (got < buffer_.size() && !ends) return;
    }
  }

  void take(connection& c, std::string_view bytes) {
    switch (c.response.feed(bytes)) {
      case response_reader::state::more:
        return;
      case response_reader::state::malformed:
        return fail(c, "a malformed response");
      case response_reader::state::complete:
        break;
    }
    const auto at = now();
    count(c, at);
    --busy_;
    // The next of a closed loop goes at once: its connection is at hand.
    const bool next = options_.rate <= 0 && !c.response.closes() && !all_planned_sent(at);
    if (next) return begin(c, at);
    c.is = usage::free;
    ++free_;
    if (c.response.closes()) lose(c);
  }

  void count(const connection& c, std::int64_t at) {
    last_response_ = at;
    ++result_.all_responses;
    if (at >= warm_ && at < end_) ++result_.responses;
    if (c.planned >= warm_) result_.latency.add(at - c.planned);
    const auto status = c.response.status();
    ++result_.by_class[static_cast<std::size_t>(std::clamp(status / 100, 0, 5))];
    if (status / 100 != 2 && result_.first_bad_status == 0) result_.first_bad_status = status;
  }

  // --- Connections

  void connect(connection& c) {
    c.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c.fd < 0) throw std::runtime_error(std::string("socket: ") + std::strerror(errno));
    const int on = 1;
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = options_.address;
    to.sin_port = options_.port;
    if (::connect(c.fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)
      return fail(c, std::strerror(errno));
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;  // set once: no call for each request
    e.data.ptr = &c;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &e) != 0) throw std::runtime_error("epoll_ctl failed.");
    c.is = usage::free;  // a send before it stands is refused with EAGAIN, and follows by flush()
    ++free_;
  }

  void fail(connection& c, const char* why) {
    // An idle connection that the server closed costs no request.
    if (c.is == usage::busy || why != closed) {
      ++result_.errors;
      if (result_.first_error.empty()) result_.first_error = why;
    }
    if (c.is == usage::busy && c.planned >= warm_) result_.latency.add(now() - c.planned);
    lose(c);
  }

  void lose(connection& c) {
    if (c.is == usage::free) --free_;
    if (c.is == usage::busy) --busy_;
    c.is = usage::lost;
    if (c.fd >= 0) close(c.fd);
    c.fd = -1;
    c.response.reset();
    broken_.push_back(&c);
  }

  // After each round of events; when the server is gone only as often as its refusals arrive, 10 ms apart.
  void reconnect() {
    if (broken_.empty()) return;
    const auto at = now();
    if (result_.errors > errors_then_ && at < reconnected_ + second / 100) return;
    reconnected_ = at;
    errors_then_ = result_.errors;
    auto lost = std::move(broken_);
    broken_.clear();
    for (auto* c : lost) connect(*c);
  }

  // The time is over. What was not answered, or could not even be sent, took at least as long as it has
  // waited.
  void give_up() {
    const auto at = now();
    std::uint64_t unanswered = 0;
    for (const auto& c : connections_) {
      if (c.is != usage::busy) continue;
      ++unanswered;
      if (c.planned >= warm_) result_.latency.add(at - c.planned);
    }
    if (options_.rate > 0) {
      for (; !all_planned_sent(at); ++sent_) {
        ++unanswered;
        if (planned_time(sent_) >= warm_) result_.latency.add(at - planned_time(sent_));
      }
    }
    result_.errors += unanswered;
    if (unanswered > 0 && result_.first_error.empty()) result_.first_error = "not answered in time";
  }

  const load_options options_;
  request_list& requests_;
  std::vector<connection> connections_;
  const int epoll_;
  std::vector<connection*> broken_;
  std::array<char, 256 * 1024> buffer_{};
  std::int64_t begin_ = 0;
  std::int64_t warm_ = 0;
  std::int64_t end_ = 0;
  std::int64_t last_response_ = 0;
  std::int64_t reconnected_ = 0;
  std::uint64_t errors_then_ = 0;
  std::uint64_t sent_ = 0;
  std::size_t busy_ = 0;
  std::size_t free_ = 0;
  std::size_t turn_ = 0;
  load_result result_;
};

}  // namespace relay::bench
