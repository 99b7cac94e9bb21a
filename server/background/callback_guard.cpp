#include "server/background/callback_guard.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/post.hpp>
#include <memory>

namespace relay {
namespace {

constexpr std::chrono::seconds kept_for{30};
constexpr std::size_t most_waiting = 256;
constexpr std::size_t most_of_one = 4;  // half of the threads

struct network_v4 {
  std::array<unsigned char, 4> start;
  unsigned bits;
};
struct network_v6 {
  std::array<unsigned char, 16> start;
  unsigned bits;
};

constexpr network_v4 closed_v4[] = {
    {{0, 0, 0, 0}, 8},                                // this network
    {{10, 0, 0, 0}, 8},                               // private
    {{100, 64, 0, 0}, 10},                            // shared, CGNAT
    {{127, 0, 0, 0}, 8},                              // loopback
    {{169, 254, 0, 0}, 16},                           // link-local, cloud metadata
    {{172, 16, 0, 0}, 12},                            // private
    {{192, 0, 0, 0}, 24},                             // protocol assignments
    {{192, 0, 2, 0}, 24},                             // documentation
    {{192, 88, 99, 0}, 24},                           // 6to4 relays
    {{192, 168, 0, 0}, 16},                           // private
    {{198, 18, 0, 0}, 15},                            // benchmarking
    {{198, 51, 100, 0}, 24}, {{203, 0, 113, 0}, 24},  // documentation
    {{224, 0, 0, 0}, 4},                              // multicast
    {{240, 0, 0, 0}, 4},                              // reserved, broadcast
};

// Of IPv6 only 2000::/3 is global unicast; these parts of it are not.
constexpr network_v6 closed_v6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23},  // protocol assignments: Teredo, ORCHID, benchmarking
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documentation
    {{0x20, 0x02}, 16},              // 6to4
    {{0x3f, 0xff, 0x00}, 20},        // documentation
};

template <std::size_t N>
bool within(const std::array<unsigned char, N>& address, const std::array<unsigned char, N>& start,
            unsigned bits) {
  for (std::size_t i = 0; i < N && bits > 0; ++i) {
    const unsigned take = std::min(bits, 8u);
    const auto mask = static_cast<unsigned char>(0xff << (8 - take));
    if ((address[i] & mask) != (start[i] & mask)) return false;
    bits -= take;
  }
  return true;
}

}  // namespace

bool is_public(const asio::ip::address& a) {
  if (a.is_v4()) {
    const auto bytes = a.to_v4().to_bytes();
    return std::ranges::none_of(closed_v4,
                                [&](const network_v4& n) { return within(bytes, n.start, n.bits); });
  }
  const auto bytes = a.to_v6().to_bytes();
  if ((bytes[0] & 0xe0) != 0x20) return false;  // mapped, compatible, NAT64, ULA, link-local, multicast, …
  return std::ranges::none_of(closed_v6, [&](const network_v6& n) { return within(bytes, n.start, n.bits); });
}

// Shared with the thread that asks, which may outlive who waits.
struct callback_guard::question {
  question(asio::io_context& loop, std::string h) : host(std::move(h)), done(loop.get_executor()) {
    done.expires_at(steady_clock::time_point::max());
  }
  const std::string host;
  std::atomic<int> wanted = 0;      // who waits; nobody: it need not be asked any more
  steady_timer done;                // cancelled by the answer
  std::atomic<bool> begun = false;  // a thread asks it
  bool answered = false;
  bool skipped = false;  // nobody wanted it any more when its turn came
  steady_clock::time_point answered_at;
  boost::system::error_code ec;
  std::vector<asio::ip::address> found;
};

callback_guard::callback_guard(asio::io_context& loop, bool allow_private)
    : loop_(loop), allow_private_(allow_private) {}

callback_guard::~callback_guard() = default;

// The question about a name: one that was answered lately, one that is being asked, or a new one; null when
// too many wait.
std::shared_ptr<callback_guard::question> callback_guard::ask(const std::string& host, std::int64_t owner) {
  if (auto* kept = questions_.find(host)) {
    const question& q = **kept;
    const bool usable =
        q.answered ? !q.ec && !q.skipped && steady_clock::now() - q.answered_at < kept_for : q.wanted > 0;
    if (usable) {
      ++(*kept)->wanted;
      return *kept;
    }
  }
  auto q = std::make_shared<question>(loop_, host);
  q->wanted = 1;
  boost::system::error_code not_literal;
  const auto literal = asio::ip::make_address(host, not_literal);
  if (!not_literal) {
    q->answered = true;
    q->answered_at = steady_clock::now();
    q->found.push_back(literal);
    return q;
  }
  if (waiting_ >= most_waiting || by_owner_[owner] >= most_of_one) return nullptr;
  ++waiting_;
  ++by_owner_[owner];
  questions_.put(host, q);
  asio::post(names_, [this, q, owner, &loop = loop_] {
    boost::system::error_code ec = asio::error::operation_aborted;
    std::vector<asio::ip::address> found;
    const bool wanted = q->wanted > 0;
    if (wanted) {
      q->begun = true;
      asio::io_context own;
      asio::ip::tcp::resolver names(own);
      const auto results = names.resolve(q->host, "", ec);
      for (const auto& entry : results) found.push_back(entry.endpoint().address());
    }
    asio::post(loop, [this, q, owner, wanted, ec, found = std::move(found)]() mutable {
      --waiting_;
      if (--by_owner_[owner] == 0) by_owner_.erase(owner);
      q->skipped = !wanted;
      q->answered = true;
      q->answered_at = steady_clock::now();
      q->ec = ec;
      q->found = std::move(found);
      q->done.cancel();
    });
  });
  return q;
}

awaitable<callback_guard::answer> callback_guard::resolve(std::string host, std::uint16_t port,
                                                          std::int64_t owner,
                                                          steady_clock::duration at_most) {
  answer out;
  const std::shared_ptr<question> q = ask(host, owner);
  if (!q) {
    out.too_busy = true;
    out.problem = "too many names are being looked up";
    co_return out;
  }
  const auto end = steady_clock::now() + at_most;
  while (!q->answered && !abandoned_ && steady_clock::now() < end) {
    // Each who waits has a timer for its own deadline; it wakes all, and the others wait on.
    steady_timer late(loop_.get_executor());
    late.expires_at(end);
    auto on_late = [q](boost::system::error_code ec) {
      if (!ec) q->done.cancel();
    };
    late.async_wait(std::move(on_late));
    co_await q->done.async_wait(as_result);
  }
  --q->wanted;
  if (q->skipped || (!q->answered && (abandoned_ || !q->begun))) {
    out.too_busy = true;
    out.problem = "its name was not looked up";
  } else if (!q->answered) {
    out.problem = "the name service did not answer in time";
  } else if (q->ec || q->found.empty()) {
    out.problem = "the name cannot be resolved: " + (q->ec ? q->ec.message() : std::string("no address"));
  } else {
    for (const asio::ip::address& a : q->found) {
      if (!allow_private_ && !is_public(a)) {
        out.forbidden = true;
        out.problem = "it resolves to " + a.to_string() +
                      ", which is no public address; callbacks.allow_private_addresses is off";
        out.endpoints.clear();
        break;
      }
      out.endpoints.emplace_back(a, port);
    }
  }
  co_return out;
}

void callback_guard::abandon() {
  abandoned_ = true;
  // A question that is forgotten here is ended by its own deadline.
  questions_.for_each([](const std::shared_ptr<question>& q) { q->done.cancel(); });
}

}  // namespace relay
