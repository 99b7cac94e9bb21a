#include "server/names/resolver.hpp"

namespace relay {
namespace {

constexpr std::chrono::seconds kept_for{30};
constexpr std::size_t kept_bytes = 1024 * 1024;
constexpr std::size_t bytes_of_entry = 1024;

}  // namespace

// Held by those who wait for it; the cache may have dropped it by then.
struct resolver::entry {
  entry(asio::io_context& loop, std::string h, std::optional<std::int64_t> o)
      : host(std::move(h)), owner(o), changed(loop.get_executor()) {
    changed.expires_at(steady_clock::time_point::max());
  }
  const std::string host;
  const std::optional<std::int64_t> owner;  // whose place it takes
  std::size_t waiters = 0;
  std::unique_ptr<name_lookup> running;
  steady_timer changed;  // cancelled by the result, and by each waiter's deadline
  bool ended = false;
  steady_clock::time_point ended_at;
  name_answer answer;

  bool usable() const {
    return ended ? !answer.addresses.empty() && steady_clock::now() - ended_at < kept_for
                 : running != nullptr;
  }
};

resolver::resolver(asio::io_context& loop, name_servers servers)
    : loop_(loop), servers_(std::move(servers)), known_(kept_bytes) {}

resolver::~resolver() = default;

bool resolver::may_begin(std::optional<std::int64_t> owner) const {
  if (!owner) return true;
  const auto of_owner = by_owner_.find(*owner);
  return running_ < most_at_once && (of_owner == by_owner_.end() || of_owner->second < most_of_one_owner);
}

void resolver::begin(const std::shared_ptr<entry>& e) {
  if (e->owner) {
    ++running_;
    ++by_owner_[*e->owner];
  }
  // The lookup ends with its entry, so that it needs no share of it.
  auto on_answer = [this, at = e.get()](name_answer a) {
    at->ended = true;
    at->ended_at = steady_clock::now();
    at->answer = std::move(a);
    end(*at);
  };
  e->running = std::make_unique<name_lookup>(loop_, servers_, e->host, std::move(on_answer));
}

// It has its answer, or nothing waits for it.
void resolver::end(entry& e) {
  e.running.reset();
  e.changed.cancel();
  if (!e.owner) return;
  --running_;
  if (const auto of_owner = by_owner_.find(*e.owner); --of_owner->second == 0) by_owner_.erase(of_owner);
}

awaitable<resolver::found> resolver::look_up(std::string host, std::optional<std::int64_t> owner,
                                             steady_clock::duration timeout) {
  found out;
  // 1. An address needs no lookup.
  boost::system::error_code no_address;
  const auto address = asio::ip::make_address(host, no_address);
  if (!no_address) {
    out.addresses.push_back(address);
    co_return out;
  }
  // 2. What is known, a lookup under way, or a new one.
  std::shared_ptr<entry> e;
  if (const auto* kept = known_.find(host); kept != nullptr && (*kept)->usable()) e = *kept;
  if (!e) {
    if (abandoned_ || !may_begin(owner)) {
      out.looked_up = false;
      out.problem = abandoned_ ? "the relay is stopping" : "too many names are being looked up";
      co_return out;
    }
    e = std::make_shared<entry>(loop_, host, owner);
    known_.put(host, e, bytes_of_entry);
    begin(e);
  }
  // 3. Its answer, in time.
  ++e->waiters;
  const auto until = steady_clock::now() + timeout;
  while (!e->ended && !abandoned_ && steady_clock::now() < until) {
    // Each waiter has a timer for its own deadline; it wakes all, and the others wait on.
    steady_timer late(loop_.get_executor());
    late.expires_at(until);
    auto on_late = [e](boost::system::error_code ec) {
      if (!ec) e->changed.cancel();
    };
    late.async_wait(std::move(on_late));
    co_await e->changed.async_wait(as_result);
  }
  if (--e->waiters == 0 && e->running) end(*e);
  if (e->ended) {
    out.addresses = e->answer.addresses;
    out.problem = e->answer.problem;
  } else {
    out.looked_up = !abandoned_;
    out.problem = abandoned_ ? "the relay is stopping" : "no answer from the name servers in time";
  }
  co_return out;
}

void resolver::abandon() {
  abandoned_ = true;
  // A lookup that is forgotten here is ended by its own deadline.
  known_.for_each([](const std::shared_ptr<entry>& e) { e->changed.cancel(); });
}

}  // namespace relay
