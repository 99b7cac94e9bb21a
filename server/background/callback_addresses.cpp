#include "server/background/callback_addresses.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <memory>

#include "common/engine/address_policy.hpp"

namespace relay {
namespace {

constexpr std::chrono::seconds kept_for{30};
constexpr std::size_t kept_bytes = 1024 * 1024;
constexpr std::size_t bytes_of_lookup = 1024;
constexpr std::size_t max_waiting = 256;
constexpr std::size_t max_of_one_owner = 4;  // half of the threads

bool is_allowed(const asio::ip::address& a) {
  return a.is_v4() ? is_public(a.to_v4().to_bytes()) : is_public(a.to_v6().to_bytes());
}

}  // namespace

// Shared with the thread that runs it, which may outlive those who wait.
struct callback_addresses::lookup {
  lookup(asio::io_context& loop, std::string h) : host(std::move(h)), done(loop.get_executor()) {
    done.expires_at(steady_clock::time_point::max());
  }
  const std::string host;
  std::atomic<int> waiters = 0;     // none: it need not be run any more
  steady_timer done;                // cancelled by the result
  std::atomic<bool> begun = false;  // a thread runs it
  bool ended = false;
  bool skipped = false;  // nothing waited for it any more when its turn came
  steady_clock::time_point ended_at;
  boost::system::error_code ec;
  std::vector<asio::ip::address> found;

  bool usable() const {
    return ended ? !ec && !skipped && steady_clock::now() - ended_at < kept_for : waiters > 0;
  }
};

callback_addresses::callback_addresses(asio::io_context& loop, bool allow_private)
    : loop_(loop), allow_private_(allow_private), lookups_(kept_bytes) {}

callback_addresses::~callback_addresses() = default;

// A lookup that ended lately, one under way, or a new one; null when too many wait.
std::shared_ptr<callback_addresses::lookup> callback_addresses::find_or_start(const std::string& host,
                                                                              std::int64_t owner) {
  if (auto* kept = lookups_.find(host); kept != nullptr && (*kept)->usable()) {
    ++(*kept)->waiters;
    return *kept;
  }
  auto l = std::make_shared<lookup>(loop_, host);
  l->waiters = 1;
  // An address needs no lookup.
  boost::system::error_code not_literal;
  const auto literal = asio::ip::make_address(host, not_literal);
  if (!not_literal) {
    l->ended = true;
    l->ended_at = steady_clock::now();
    l->found.push_back(literal);
    return l;
  }
  // A client with many dead names must not keep the threads from the others.
  if (waiting_ >= max_waiting || by_owner_[owner] >= max_of_one_owner) return nullptr;
  ++waiting_;
  ++by_owner_[owner];
  lookups_.put(host, l, bytes_of_lookup);
  run_on_thread(l, owner);
  return l;
}

void callback_addresses::run_on_thread(std::shared_ptr<lookup> l, std::int64_t owner) {
  asio::post(names_, [this, l = std::move(l), owner, &loop = loop_] {
    // 1. On a thread of the pool: getaddrinfo blocks, for as long as the name service likes.
    boost::system::error_code ec = asio::error::operation_aborted;
    std::vector<asio::ip::address> found;
    const bool has_waiters = l->waiters > 0;
    if (has_waiters) {
      l->begun = true;
      asio::io_context own;
      asio::ip::tcp::resolver names(own);
      const auto results = names.resolve(l->host, "", ec);
      for (const auto& entry : results) found.push_back(entry.endpoint().address());
    }
    // 2. Back on the loop: all that wait for this name get the result.
    asio::post(loop, [this, l, owner, has_waiters, ec, found = std::move(found)]() mutable {
      --waiting_;
      if (--by_owner_[owner] == 0) by_owner_.erase(owner);
      l->skipped = !has_waiters;
      l->ended = true;
      l->ended_at = steady_clock::now();
      l->ec = ec;
      l->found = std::move(found);
      l->done.cancel();
    });
  });
}

awaitable<callback_addresses::resolved> callback_addresses::resolve(std::string host, std::uint16_t port,
                                                                    std::int64_t owner,
                                                                    steady_clock::duration timeout) {
  // One lookup serves all callbacks to a host.
  const std::shared_ptr<lookup> l = find_or_start(host, owner);
  if (!l) {
    resolved busy;
    busy.too_busy = true;
    busy.problem = "too many names are being looked up";
    co_return busy;
  }
  const auto end = steady_clock::now() + timeout;
  while (!l->ended && !abandoned_ && steady_clock::now() < end) {
    // Each waiter has a timer for its own deadline; it wakes all, and the others wait on.
    steady_timer late(loop_.get_executor());
    late.expires_at(end);
    auto on_late = [l](boost::system::error_code ec) {
      if (!ec) l->done.cancel();
    };
    late.async_wait(std::move(on_late));
    co_await l->done.async_wait(as_result);
  }
  --l->waiters;
  co_return check(*l, port);
}

callback_addresses::resolved callback_addresses::check(const lookup& l, std::uint16_t port) const {
  resolved out;
  if (l.skipped || (!l.ended && (abandoned_ || !l.begun))) {
    out.too_busy = true;
    out.problem = "its name was not looked up";
  } else if (!l.ended) {
    out.problem = "the name service did not respond in time";
  } else if (l.ec || l.found.empty()) {
    out.problem = "the name cannot be resolved: " + (l.ec ? l.ec.message() : std::string("no address"));
  } else {
    // One private address among them is enough: a name must not be able to switch between the two (S4).
    for (const asio::ip::address& a : l.found) {
      if (!allow_private_ && !is_allowed(a)) {
        out.forbidden = true;
        out.problem = "it resolves to " + a.to_string() +
                      ", which is no public address; callbacks.allow_private_addresses is off";
        out.endpoints.clear();
        break;
      }
      out.endpoints.emplace_back(a, port);
    }
  }
  return out;
}

void callback_addresses::abandon() {
  abandoned_ = true;
  // A lookup that is forgotten here is ended by its own deadline.
  lookups_.for_each([](const std::shared_ptr<lookup>& l) { l->done.cancel(); });
}

}  // namespace relay
