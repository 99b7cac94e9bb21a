#include "server/names/lookup.hpp"

#include <ares.h>
#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <utility>

namespace relay {
namespace {

using socket_watch = asio::posix::basic_stream_descriptor<executor>;

// A lost packet costs 1.5 s, then 3 s, then 6 s.
constexpr int first_try_ms = 1'500;
constexpr int tries = 3;

bool library_is_ready() {
  static const bool ready = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
  return ready;
}

int set_servers(ares_channel channel, const name_servers& servers) {
  std::vector<ares_addr_port_node> nodes(servers.size());
  for (std::size_t i = 0; i < servers.size(); ++i) {
    ares_addr_port_node& n = nodes[i];
    n.next = i + 1 < servers.size() ? &nodes[i + 1] : nullptr;
    n.udp_port = n.tcp_port = servers[i].port();
    const asio::ip::address a = servers[i].address();
    n.family = a.is_v4() ? AF_INET : AF_INET6;
    if (a.is_v4()) {
      std::ranges::copy(a.to_v4().to_bytes(), reinterpret_cast<unsigned char*>(&n.addr.addr4));
    } else {
      std::ranges::copy(a.to_v6().to_bytes(), reinterpret_cast<unsigned char*>(&n.addr.addr6));
    }
  }
  return ares_set_servers_ports(channel, nodes.data());
}

std::vector<asio::ip::address> addresses_in(const ares_addrinfo& info) {
  std::vector<asio::ip::address> out;
  for (const ares_addrinfo_node* n = info.nodes; n != nullptr; n = n->ai_next) {
    asio::ip::address a;
    if (n->ai_family == AF_INET) {
      asio::ip::address_v4::bytes_type bytes;
      const auto* in = reinterpret_cast<const sockaddr_in*>(n->ai_addr);
      std::copy_n(reinterpret_cast<const unsigned char*>(&in->sin_addr), bytes.size(), bytes.begin());
      a = asio::ip::address_v4(bytes);
    } else if (n->ai_family == AF_INET6) {
      asio::ip::address_v6::bytes_type bytes;
      const auto* in = reinterpret_cast<const sockaddr_in6*>(n->ai_addr);
      std::copy_n(reinterpret_cast<const unsigned char*>(&in->sin6_addr), bytes.size(), bytes.begin());
      a = asio::ip::address_v6(bytes, in->sin6_scope_id);
    } else {
      continue;
    }
    if (std::ranges::find(out, a) == out.end()) out.push_back(a);
  }
  return out;
}

}  // namespace

// A channel of its own: c-ares ends all queries of a channel or none, and a new channel reads the files as
// they are now. Its callbacks only take notes; what follows from them is done once c-ares has returned.
class name_lookup::query : public std::enable_shared_from_this<query> {
 public:
  query(asio::io_context& loop, completion done)
      : loop_(loop), late_(loop.get_executor()), done_(std::move(done)) {}
  ~query() { close(); }

  void start(const name_servers& servers, const std::string& host) {
    ares_options options{};
    options.timeout = first_try_ms;
    options.tries = tries;
    options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
      static_cast<query*>(self)->watch(fd, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = this;
    int status = library_is_ready()
                     ? ares_init_options(&channel_, &options,
                                         ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB)
                     : ARES_ENOTINITIALIZED;
    if (status != ARES_SUCCESS) channel_ = nullptr;
    if (status == ARES_SUCCESS && !servers.empty()) status = set_servers(channel_, servers);
    if (status != ARES_SUCCESS) {
      end(status, nullptr);
    } else {
      ares_addrinfo_hints hints{};
      hints.ai_family = AF_UNSPEC;
      hints.ai_socktype = SOCK_STREAM;
      ares_getaddrinfo(
          channel_, host.c_str(), nullptr, &hints,
          [](void* self, int how, int, ares_addrinfo* info) { static_cast<query*>(self)->end(how, info); },
          this);
    }
    after_work();
  }

  void cancel() {
    done_ = nullptr;
    close();
  }

 private:
  struct watched {
    explicit watched(const executor& e) : socket(e) {}
    socket_watch socket;
    bool reads = false;  // what c-ares waits for
    bool writes = false;
    bool reading = false;  // what we wait for
    bool writing = false;
  };

  // c-ares wants to know when a socket can be read or written; neither: it is about to close it.
  void watch(ares_socket_t fd, bool reads, bool writes) {
    if (!reads && !writes) {
      const auto found = sockets_.find(fd);
      if (found == sockets_.end()) return;
      found->second->socket.release();  // c-ares closes it
      sockets_.erase(found);
      return;
    }
    auto& w = sockets_[fd];
    if (!w) {
      w = std::make_shared<watched>(loop_.get_executor());
      // One that cannot be watched is one that does not respond.
      boost::system::error_code ignored;
      w->socket.assign(fd, ignored);
    }
    w->reads = reads;
    w->writes = writes;
  }

  // From a callback of c-ares.
  void end(int status, ares_addrinfo* info) {
    if (info != nullptr) {
      answer_.addresses = addresses_in(*info);
      ares_freeaddrinfo(info);
    }
    if (answer_.addresses.empty())
      answer_.problem = status == ARES_SUCCESS ? "no address" : ares_strerror(status);
    ended_ = true;
  }

  // c-ares has returned: what it wants to be called for, or the result.
  void after_work() {
    if (ended_) {
      close();
      auto tell = [self = shared_from_this()] {
        if (auto done = std::exchange(self->done_, nullptr)) done(std::move(self->answer_));
      };
      asio::post(loop_.get_executor(), std::move(tell));
      return;
    }
    for (const auto& [fd, w] : sockets_) {
      if (!w->socket.is_open()) continue;
      if (w->reads && !w->reading) wait(w, socket_watch::wait_read);
      if (w->writes && !w->writing) wait(w, socket_watch::wait_write);
    }
    timeval left{};
    if (ares_timeout(channel_, nullptr, &left) == nullptr) return;
    late_.expires_after(std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec));
    auto on_late = [self = shared_from_this()](boost::system::error_code ec) {
      if (!ec) self->process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    };
    late_.async_wait(std::move(on_late));
  }

  void wait(const std::shared_ptr<watched>& w, socket_watch::wait_type what) {
    bool& waits = what == socket_watch::wait_read ? w->reading : w->writing;
    waits = true;
    auto on_ready = [self = shared_from_this(), w, what](boost::system::error_code ec) {
      (what == socket_watch::wait_read ? w->reading : w->writing) = false;
      if (ec || !w->socket.is_open()) return;
      const int fd = w->socket.native_handle();
      self->process(what == socket_watch::wait_read && w->reads ? fd : ARES_SOCKET_BAD,
                    what == socket_watch::wait_write && w->writes ? fd : ARES_SOCKET_BAD);
    };
    w->socket.async_wait(what, std::move(on_ready));
  }

  void process(ares_socket_t readable, ares_socket_t writable) {
    if (channel_ == nullptr) return;
    ares_process_fd(channel_, readable, writable);
    after_work();
  }

  void close() {
    late_.cancel();
    if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
  }

  asio::io_context& loop_;
  ares_channel channel_ = nullptr;
  std::map<ares_socket_t, std::shared_ptr<watched>> sockets_;
  steady_timer late_;  // for c-ares' own time-outs
  name_answer answer_;
  bool ended_ = false;
  completion done_;
};

name_lookup::name_lookup(asio::io_context& loop, const name_servers& servers, const std::string& host,
                         completion done)
    : query_(std::make_shared<query>(loop, std::move(done))) {
  query_->start(servers, host);
}

name_lookup::~name_lookup() {
  query_->cancel();
}

}  // namespace relay
