#include "server/upstream/connection_pool.hpp"

#include <algorithm>

#include "common/base/base64.hpp"
#include "server/upstream/run_exchange.hpp"

namespace relay {
namespace {

constexpr std::size_t most_addresses = 4;                            // tried for one connection
constexpr auto next_address_after = std::chrono::milliseconds(250);  // RFC 8305 §5
constexpr std::size_t most_dialling = 8;
constexpr std::size_t longest_proxy_head = 16 * 1024;
// A create must not meet a connection that the upstream is just closing: such an end looks like a lost
// response.
constexpr auto create_freshness = std::chrono::milliseconds(1'000);

}  // namespace

// Someone who waits for a connection.
struct connection_pool::waiter {
  waiter(asio::io_context& loop, bool create) : done(loop.get_executor()), for_create(create) {}
  steady_timer done;  // cancelled when there is a connection, or none to be had
  const bool for_create;
  made got;
};

// Connections to several addresses under way at once: the first that is made is the one.
struct connection_pool::race {
  explicit race(asio::io_context& loop) : news(loop.get_executor()) {}
  steady_timer news;  // cancelled at the end of each attempt
  std::vector<connection*> running;
  std::unique_ptr<connection> winner;
  asio::ip::tcp::endpoint won;
  std::string problem;  // of the first that failed
};

connection_pool::connection_pool(asio::io_context& loop, deadlines& d, resolver& names, pool_settings s)
    : loop_(loop),
      deadlines_(d),
      settings_(std::move(s)),
      tls_(settings_.to.tls ? std::make_unique<tls_client>(settings_.ca_file) : nullptr) {
  const base_url& first = settings_.through ? settings_.through->at : settings_.to;
  if (settings_.through && first.tls) tls_of_proxy_ = std::make_unique<tls_client>(settings_.ca_file);
  addresses_ = std::make_shared<host_addresses>(loop, names, first.host, first.port);
}

connection_pool::lease::~lease() {
  if (conn_) pool_->take_back(std::move(conn_), false);
}

void connection_pool::lease::give_back() {
  if (conn_) pool_->take_back(std::move(conn_), true);
}

awaitable<connection_pool::lease> connection_pool::get(bool for_create) {
  prune();
  lease out(shared_from_this());
  out.conn_ = take_kept(for_create);
  if (out.conn_) co_return std::move(out);
  // A create needs a fresh one: where all places are taken, one that was kept for long makes room.
  if (open_ >= settings_.max_connections && !kept_.empty()) {
    kept_.pop_front();
    --open_;
  }
  waiter self(loop_, for_create);
  self.done.expires_after(settings_.connect_timeout * 4);  // its steps have deadlines of their own
  // Creates in their order, before the rest.
  auto at = waiters_.end();
  if (for_create) at = std::ranges::find_if(waiters_, [](const waiter* w) { return !w->for_create; });
  waiters_.insert(at, &self);
  dial_for_waiters();
  co_await self.done.async_wait(as_result);
  out.conn_ = std::move(self.got.conn);
  out.problem = std::move(self.got.problem);
  if (!out.conn_ && out.problem.empty()) {
    std::erase(waiters_, &self);
    out.all_in_use = true;
    out.problem = "no connection to " + settings_.to.authority() +
                  " became free in time: upstream.max_connections is " +
                  std::to_string(settings_.max_connections);
  }
  co_return std::move(out);
}

// Null: there is none that can be used.
std::unique_ptr<connection> connection_pool::take_kept(bool for_create) {
  const auto now = steady_clock::now();
  while (!kept_.empty()) {
    if (for_create && now - kept_.back()->idle_since > create_freshness) return nullptr;
    std::unique_ptr<connection> c = std::move(kept_.back());
    kept_.pop_back();
    if (c->looks_alive()) return c;
    --open_;
  }
  return nullptr;
}

void connection_pool::take_back(std::unique_ptr<connection> c, bool reusable) {
  if (!reusable || settings_.idle_timeout.count() == 0) {
    --open_;
    c.reset();
    dial_for_waiters();
    return;
  }
  c->used = true;
  c->idle_since = steady_clock::now();
  if (!serve_waiter(c)) kept_.push_back(std::move(c));
}

void connection_pool::drop_kept() {
  open_ -= kept_.size();
  kept_.clear();
  dial_for_waiters();
}

void connection_pool::prune() {
  const auto too_old = steady_clock::now() - settings_.idle_timeout;
  const std::size_t before = open_;
  while (!kept_.empty() && kept_.front()->idle_since < too_old) {
    kept_.pop_front();
    --open_;
  }
  if (open_ != before) dial_for_waiters();
}

bool connection_pool::serve_waiter(std::unique_ptr<connection>& c) {
  if (waiters_.empty()) return false;
  waiter* w = waiters_.front();
  waiters_.pop_front();
  w->got.conn = std::move(c);
  w->done.cancel();
  return true;
}

void connection_pool::fail_waiters(const std::string& problem) {
  for (waiter* w : waiters_) {
    w->got.problem = problem;
    w->done.cancel();
  }
  waiters_.clear();
}

// Polls wait for a connection that is free sooner; creates do not.
void connection_pool::dial_for_waiters() {
  if (deadlines_.expiring()) return fail_waiters("the relay stops");
  if (failing_) return;  // those that are being made decide
  const auto creates = static_cast<std::size_t>(
      std::ranges::count_if(waiters_, [](const waiter* w) { return w->for_create; }));
  const std::size_t wanted = std::max(creates, std::min(waiters_.size(), most_dialling));
  while (dialling_ < wanted && open_ < settings_.max_connections) {
    ++dialling_;
    ++open_;
    auto work = dial();
    asio::co_spawn(loop_.get_executor(), std::move(work),
                   [self = shared_from_this()](const std::exception_ptr&) {});
  }
}

// One connection, for the first that waits; each may be served by another's meanwhile.
awaitable<> connection_pool::dial() {
  made one;
  try {
    one = co_await connect();
  } catch (const std::exception& e) {  // OpenSSL could not make a stream
    one = {nullptr, std::string("cannot begin TLS: ") + e.what()};
  }
  --dialling_;
  failing_ = !one.conn;
  if (one.conn) {
    ++made_;
    if (one.conn->resumed()) ++resumed_;
    one.conn->idle_since = steady_clock::now();
    if (!serve_waiter(one.conn)) kept_.push_back(std::move(one.conn));
  } else {
    --open_;
  }
  // When none could be made, all that wait have this problem; else they get what is made.
  if (failing_ && dialling_ == 0) {
    failing_ = false;
    fail_waiters(one.problem);
  }
  dial_for_waiters();
}

awaitable<connection_pool::made> connection_pool::connect() {
  // 1. The name, of the upstream or of the proxy.
  made out;
  const base_url& first = settings_.through ? settings_.through->at : settings_.to;
  const std::string name = (settings_.through ? "the proxy " : "") + first.authority();
  const auto endpoints = co_await addresses_->get(settings_.connect_timeout);
  if (endpoints.empty()) {
    out.problem = "cannot resolve " + first.host + ": " + addresses_->problem();
    co_return out;
  }
  // 2. TCP.
  out = co_await connect_to_any(endpoints, name);
  if (!out.conn) co_return out;
  // 3. Through the proxy.
  if (tls_of_proxy_) out.problem = co_await begin_tls(*out.conn, *tls_of_proxy_, first.host, name);
  if (out.problem.empty() && settings_.through) out.problem = co_await pass_proxy(*out.conn);
  // 4. TLS with the upstream.
  if (out.problem.empty() && tls_)
    out.problem = co_await begin_tls(*out.conn, *tls_, settings_.to.host, settings_.to.authority());
  if (!out.problem.empty())
    out.conn.reset();
  else
    out.conn->disarm();
  co_return out;
}

// Address after address, the next when one has failed or a quarter of a second has passed.
awaitable<connection_pool::made> connection_pool::connect_to_any(
    const std::vector<asio::ip::tcp::endpoint>& to, const std::string& name) {
  const auto r = std::make_shared<race>(loop_);
  const std::size_t tries = std::min(to.size(), most_addresses);
  std::size_t begun = 0;
  while (!r->winner && (begun < tries || !r->running.empty())) {
    if (begun < tries) {
      auto c = std::make_unique<connection>(loop_, deadlines_);
      r->running.push_back(c.get());
      auto work = attempt(r, std::move(c), to[begun++]);
      asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
    }
    // The last attempt has a deadline of its own.
    r->news.expires_after(begun < tries ? next_address_after : settings_.connect_timeout * 2);
    co_await r->news.async_wait(as_result);
  }
  for (connection* c : r->running) c->close();
  made out;
  out.conn = std::move(r->winner);
  if (out.conn)
    addresses_->connected(r->won);
  else
    out.problem = "cannot connect to " + name + ": " + r->problem;
  co_return out;
}

awaitable<> connection_pool::attempt(std::shared_ptr<race> r, std::unique_ptr<connection> c,
                                     asio::ip::tcp::endpoint to) {
  c->arm(settings_.connect_timeout);
  const auto ec = co_await c->connect(to);
  std::erase(r->running, c.get());
  if (!ec && !r->winner) {
    r->winner = std::move(c);
    r->won = to;
  } else if (ec && r->problem.empty()) {
    r->problem = describe(ec, c->timed_out());
  }
  r->news.cancel();
}

awaitable<std::string> connection_pool::begin_tls(connection& c, tls_client& tls, const std::string& host,
                                                  const std::string& name) {
  c.arm(settings_.connect_timeout);
  const auto ec = co_await c.handshake(tls, host);
  if (ec) co_return "no TLS with " + name + ": " + describe(ec, c.timed_out());
  co_return std::string{};
}

// RFC 9110 §9.3.6. Empty: what is sent from here on reaches the upstream.
awaitable<std::string> connection_pool::pass_proxy(connection& c) {
  const std::string name = "the proxy " + settings_.through->at.authority();
  const base_url& to = settings_.to;
  const bool v6 = to.host.find(':') != std::string::npos;
  const std::string host = (v6 ? "[" + to.host + "]" : to.host) + ":" + std::to_string(to.port);
  std::string request = "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n";
  if (const std::string& who = settings_.through->credentials.reveal(); !who.empty())
    request += "Proxy-Authorization: Basic " + to_base64(who) + "\r\n";
  request += "\r\n";
  c.arm(settings_.connect_timeout);
  const auto sent = co_await c.write(request);
  if (sent.first) co_return name + " does not respond: " + describe(sent.first, c.timed_out());
  // The head of its response, and not a byte more: what follows is the upstream's.
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    char byte = 0;
    const auto got = co_await c.read_some(asio::buffer(&byte, 1));
    if (got.first) co_return name + " does not respond: " + describe(got.first, c.timed_out());
    head += byte;
    if (head.size() > longest_proxy_head) co_return name + " sent a head that is too long";
  }
  const std::string_view line = std::string_view(head).substr(0, head.find("\r\n"));
  const auto space = line.find(' ');
  const std::string_view status = space == line.npos ? "" : line.substr(space + 1, 3);
  if (!line.starts_with("HTTP/1.") || !status.starts_with('2'))
    co_return name + " does not connect to " + host + ": status " + std::string(status);
  co_return std::string{};
}

}  // namespace relay
