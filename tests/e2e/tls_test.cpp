// Rule S5: a peer's certificate is verified, its name too: of upstreams, of clients' callbacks, of a proxy
// and of the upstream behind it. Asio's default context accepts anything. Connections are kept, and TLS
// sessions resumed.

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <thread>

#include "common/base/base64.hpp"
#include "server/asio.hpp"
#include "server/upstream/host_addresses.hpp"
#include "tests/support/name_server.hpp"
#include "tests/support/receiver.hpp"
#include "tests/support/running.hpp"

namespace relay::test {
namespace {

struct certificate {
  std::string pem, key;
};

std::string pem_of(auto write) {
  BIO* b = BIO_new(BIO_s_mem());
  write(b);
  char* data = nullptr;
  const long size = BIO_get_mem_data(b, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(b);
  return out;
}

// For one DNS name or address, from an hour before it ends; signed by `authority`, or by itself.
certificate make_certificate(const std::string& alt_name, const certificate* authority = nullptr,
                             long ends_after_s = 3'600) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x = X509_new();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), authority == nullptr ? 1 : 2);
  X509_gmtime_adj(X509_getm_notBefore(x), ends_after_s - 7'200);
  X509_gmtime_adj(X509_getm_notAfter(x), ends_after_s);
  X509_set_pubkey(x, key);
  const auto name_it = [](X509_NAME* name, const char* text) {
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(text), -1, -1,
                               0);
  };
  name_it(X509_get_subject_name(x), authority == nullptr ? "test root" : "test");
  X509* issuer = x;
  EVP_PKEY* signs = key;
  if (authority != nullptr) {
    BIO* b = BIO_new_mem_buf(authority->pem.data(), static_cast<int>(authority->pem.size()));
    issuer = PEM_read_bio_X509(b, nullptr, nullptr, nullptr);
    BIO_free(b);
    b = BIO_new_mem_buf(authority->key.data(), static_cast<int>(authority->key.size()));
    signs = PEM_read_bio_PrivateKey(b, nullptr, nullptr, nullptr);
    BIO_free(b);
  }
  X509_set_issuer_name(x, X509_get_subject_name(issuer));
  X509V3_CTX ctx;
  X509V3_set_ctx_nodb(&ctx);
  X509V3_set_ctx(&ctx, issuer, x, nullptr, nullptr, 0);
  for (const auto& [nid, value] :
       {std::pair{NID_basic_constraints, std::string(authority == nullptr ? "critical,CA:TRUE" : "CA:FALSE")},
        std::pair{NID_subject_alt_name, alt_name}}) {
    X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value.c_str());
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
  }
  X509_sign(x, signs, EVP_sha256());
  certificate out{pem_of([&](BIO* b) { PEM_write_bio_X509(b, x); }), pem_of([&](BIO* b) {
                    PEM_write_bio_PrivateKey(b, key, nullptr, nullptr, 0, nullptr, nullptr);
                  })};
  if (authority != nullptr) {
    X509_free(issuer);
    EVP_PKEY_free(signs);
  }
  X509_free(x);
  EVP_PKEY_free(key);
  return out;
}

// Passes bytes on: to a plain server behind TLS, or, as a proxy, to where CONNECT says, with or without TLS
// of its own. Many connections at once, on a thread of its own.
class tls_peer {
 public:
  struct options {
    const certificate* serves = nullptr;  // null: no TLS
    std::uint16_t to = 0;                 // 0: a proxy
    std::string credentials;              // of a proxy: what it wants to be told; empty: nothing
    std::string address = "127.0.0.1";
  };
  explicit tls_peer(options o)
      : options_(std::move(o)),
        context_(asio::ssl::context::tls_server),
        acceptor_(loop_, {asio::ip::make_address(options_.address), 0}) {
    if (options_.serves != nullptr) {
      context_.use_certificate_chain(asio::buffer(options_.serves->pem));
      context_.use_private_key(asio::buffer(options_.serves->key), asio::ssl::context::pem);
    }
    port_ = acceptor_.local_endpoint().port();
    asio::co_spawn(loop_.get_executor(), accept(), asio::detached);
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~tls_peer() {
    loop_.stop();
    thread_.join();
  }
  std::uint16_t port() const { return port_; }
  int connections() const { return connections_; }
  int handshakes() const { return handshakes_; }
  int resumed() const { return resumed_; }
  int refused() const { return refused_; }  // by the proxy, for want of credentials

 private:
  struct link {
    explicit link(tcp_socket s, asio::ssl::context& c)
        : near(std::move(s)), tls(near, c), far(near.get_executor()) {}
    tcp_socket near;
    asio::ssl::stream<tcp_socket&> tls;
    tcp_socket far;
    bool encrypted = false;
  };
  using shared_link = std::shared_ptr<link>;

  awaitable<> accept() {
    for (;;) {
      auto [ec, s] = co_await acceptor_.async_accept(loop_.get_executor(), as_result);
      if (ec) co_return;
      ++connections_;
      asio::co_spawn(loop_.get_executor(), serve(std::make_shared<link>(std::move(s), context_)),
                     asio::detached);
    }
  }
  awaitable<> serve(shared_link l) {
    if (options_.serves != nullptr) {
      auto [ec] = co_await l->tls.async_handshake(asio::ssl::stream_base::server, as_result);
      if (ec) co_return;
      l->encrypted = true;
      ++handshakes_;
      resumed_ += SSL_session_reused(l->tls.native_handle()) == 1;
    }
    std::uint16_t to = options_.to;
    if (to == 0) {
      std::string head;
      while (!head.ends_with("\r\n\r\n")) {
        char byte = 0;
        if (co_await read(*l, asio::buffer(&byte, 1)) == 0) co_return;
        head += byte;
      }
      const std::string wants = "Proxy-Authorization: Basic " + to_base64(options_.credentials) + "\r\n";
      if (!options_.credentials.empty() && !head.contains(wants)) {
        ++refused_;
        co_await write(*l, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        co_return;
      }
      const auto colon = head.find(':');
      to = static_cast<std::uint16_t>(std::stoi(head.substr(colon + 1)));
    }
    const asio::ip::tcp::endpoint target(asio::ip::make_address("127.0.0.1"), to);
    auto [failed] = co_await l->far.async_connect(target, as_result);
    if (failed) co_return;
    if (options_.to == 0) co_await write(*l, "HTTP/1.1 200 Connection established\r\n\r\n");
    asio::co_spawn(loop_.get_executor(), back(l), asio::detached);
    std::string buffer(16 * 1024, '\0');
    for (;;) {
      const std::size_t n = co_await read(*l, asio::buffer(buffer));
      if (n == 0) break;
      auto [ec, sent] = co_await asio::async_write(l->far, asio::buffer(buffer.data(), n), as_result);
      if (ec) break;
    }
    boost::system::error_code ignored;
    l->far.close(ignored);
  }
  awaitable<> back(shared_link l) {
    std::string buffer(16 * 1024, '\0');
    for (;;) {
      auto [ec, n] = co_await l->far.async_read_some(asio::buffer(buffer), as_result);
      if (ec) break;
      co_await write(*l, std::string_view(buffer.data(), n));
    }
    boost::system::error_code ignored;
    l->near.close(ignored);
  }
  awaitable<std::size_t> read(link& l, asio::mutable_buffer into) {
    if (l.encrypted) {
      auto [ec, n] = co_await l.tls.async_read_some(into, as_result);
      co_return ec ? 0 : n;
    }
    auto [ec, n] = co_await l.near.async_read_some(into, as_result);
    co_return ec ? 0 : n;
  }
  awaitable<> write(link& l, std::string_view bytes) {
    const auto buffer = asio::buffer(bytes.data(), bytes.size());
    if (l.encrypted)
      co_await asio::async_write(l.tls, buffer, as_result);
    else
      co_await asio::async_write(l.near, buffer, as_result);
  }

  const options options_;
  asio::io_context loop_{1};
  asio::ssl::context context_;
  asio::basic_socket_acceptor<asio::ip::tcp, executor> acceptor_;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_ = 0, handshakes_ = 0, resumed_ = 0, refused_ = 0;
  std::thread thread_;
};

std::string to_file(const temp_dir& dir, const certificate& c) {
  const std::string file = dir.file("ca.pem");
  std::ofstream(file) << c.pem;
  return file;
}

std::string url_of(const tls_peer& p, const std::string& host = "localhost") {
  return "https://" + host + ":" + std::to_string(p.port());
}

// What the create of a relay ends in.
std::string outcome(const config& settings, const running_simulator& sim) {
  running_relay relay(settings);
  const client c = relay.as("me");
  const auto id = std::string(
      text_of(c.post("/dream-machine/v1/generations", R"({"prompt":"abc"})").json().as_object(), "id"));
  const std::string path = "/dream-machine/v1/generations/" + id;
  for (;;) {
    const json::object o = c.request("GET", path, {}, {"Prefer: wait=5"}).json().as_object();
    const auto state = std::string(text_of(o, "state"));
    if (state == "completed" || state == "failed") {
      EXPECT_EQ(sim.created(), state == "completed" ? 1 : 0);
      return state;
    }
  }
}

// A certificate, what is trusted, and whether that goes well with a peer called "localhost".
struct shown_certificate {
  std::string what;
  certificate serves;
  std::optional<certificate> trusted;
  bool good;
};
std::vector<shown_certificate> certificates() {
  const certificate root = make_certificate("DNS:root.example");
  const certificate other = make_certificate("DNS:root.example");
  const certificate self = make_certificate("DNS:localhost");
  return {{"good", make_certificate("DNS:localhost", &root), root, true},
          {"trusted by itself", self, self, true},
          {"expired", make_certificate("DNS:localhost", &root, -60), root, false},
          {"of another host", make_certificate("DNS:elsewhere.example", &root), root, false},
          {"self-signed", self, root, false},
          {"of an unknown root", make_certificate("DNS:localhost", &root), other, false},
          {"that the system does not know", make_certificate("DNS:localhost", &root), std::nullopt, false}};
}

config quick(const temp_dir& dir, const std::string& url) {
  config c = test_config(dir, url);
  c.submit.deadline = milliseconds(700);
  return c;
}

TEST(tls, certificates_of_upstreams) {
  for (const shown_certificate& row : certificates()) {
    temp_dir dir;
    running_simulator sim;
    tls_peer front({&row.serves, sim.port(), "", "127.0.0.1"});
    config settings = quick(dir, url_of(front));
    if (row.trusted) settings.upstreams[0].ca_file = to_file(dir, *row.trusted);
    EXPECT_EQ(outcome(settings, sim), row.good ? "completed" : "failed") << row.what;
  }
}

TEST(tls, an_address_can_be_certified_too) {
  const certificate c = make_certificate("IP:127.0.0.1");
  temp_dir dir;
  running_simulator sim;
  tls_peer front({&c, sim.port(), "", "127.0.0.1"});
  config settings = quick(dir, url_of(front, "127.0.0.1"));
  settings.upstreams[0].ca_file = to_file(dir, c);
  EXPECT_EQ(outcome(settings, sim), "completed");
}

// Only the system's authorities are trusted for those: none of ours is.
TEST(tls, certificates_of_callbacks) {
  for (const shown_certificate& row : certificates()) {
    temp_dir dir;
    running_simulator sim;
    receiver hook;
    tls_peer front({&row.serves, hook.port(), "", "127.0.0.1"});
    running_relay relay(test_config(dir, sim.url()));
    const client c = relay.as("me");
    const response made = c.post("/dream-machine/v1/generations",
                                 R"({"prompt":"abc","callback_url":")" + url_of(front) + R"(/hook"})");
    const std::string id(text_of(made.json().as_object(), "id"));
    EXPECT_TRUE(relay.wait_until([&] { return relay.admin("GET", "/jobs/" + id).body.contains("no TLS"); }))
        << row.what;
    EXPECT_TRUE(hook.received().empty()) << row.what;
  }
}

// ---- through a proxy

std::optional<proxy_address> proxy_at(const tls_peer& p, const std::string& scheme,
                                      const std::string& who = "") {
  return *parse_proxy_address(scheme + "://" + who + "localhost:" + std::to_string(p.port()));
}

TEST(proxies, connect_to_upstreams_with_and_without_tls) {
  const certificate root = make_certificate("DNS:root.example");
  const certificate serves = make_certificate("DNS:localhost", &root);
  for (const bool tls_upstream : {false, true}) {
    for (const bool tls_proxy : {false, true}) {
      const std::string where =
          std::string(tls_upstream ? "https" : "http") + " through " + (tls_proxy ? "https" : "http");
      temp_dir dir;
      running_simulator sim;
      tls_peer front({&serves, sim.port(), "", "127.0.0.1"});
      tls_peer proxy({tls_proxy ? &serves : nullptr, 0, "me:p@ss", "127.0.0.1"});
      config settings = quick(dir, tls_upstream ? url_of(front) : sim.url());
      settings.upstreams[0].ca_file = to_file(dir, root);
      settings.upstreams[0].through = proxy_at(proxy, tls_proxy ? "https" : "http", "me:p%40ss@");
      EXPECT_EQ(outcome(settings, sim), "completed") << where;
      EXPECT_GE(proxy.connections(), 1) << where;
      EXPECT_EQ(proxy.refused(), 0) << where;
      EXPECT_EQ(front.connections(), tls_upstream ? proxy.connections() : 0) << where;
    }
  }
}

TEST(proxies, that_refuse_or_are_not_there_cost_nothing) {
  temp_dir dir;
  running_simulator sim;
  tls_peer proxy({nullptr, 0, "me:secret-of-the-proxy", "127.0.0.1"});
  config settings = quick(dir, sim.url());
  settings.upstreams[0].through = proxy_at(proxy, "http", "me:wrong-secret@");
  EXPECT_EQ(outcome(settings, sim), "failed");
  EXPECT_GE(proxy.refused(), 1);
  settings.upstreams[0].through = *parse_proxy_address("http://localhost:1");
  temp_dir other;
  settings.storage.path = other.file("relay.db");
  EXPECT_EQ(outcome(settings, sim), "failed");
}

TEST(proxies, certificates_of_the_proxy_and_of_the_upstream_behind_it) {
  const certificate root = make_certificate("DNS:root.example");
  const certificate fine = make_certificate("DNS:localhost", &root);
  for (const shown_certificate& row : certificates()) {
    if (row.what == "trusted by itself" || row.what == "good") continue;
    for (const bool is_the_proxys : {false, true}) {
      temp_dir dir;
      running_simulator sim;
      // What the other one shows is fine with the authority that is trusted.
      const bool system = !row.trusted;
      tls_peer front({is_the_proxys ? &fine : &row.serves, sim.port(), "", "127.0.0.1"});
      tls_peer proxy({is_the_proxys ? &row.serves : nullptr, 0, "", "127.0.0.1"});
      config settings = quick(dir, is_the_proxys ? sim.url() : url_of(front));
      if (!system) settings.upstreams[0].ca_file = to_file(dir, *row.trusted);
      settings.upstreams[0].through = proxy_at(proxy, is_the_proxys ? "https" : "http");
      EXPECT_EQ(outcome(settings, sim), "failed")
          << row.what << (is_the_proxys ? " of the proxy" : " behind a proxy");
      EXPECT_GE(proxy.connections(), 1) << row.what;
    }
  }
}

// ---- connections are kept

// Two hundred jobs are polled, and more created meanwhile: eight rounds of half a second, or with
// RELAY_ROUNDS=20 as many of three seconds, which is a minute.
TEST(connections, few_handshakes_serve_many_polls) {
  const char* setting = std::getenv("RELAY_ROUNDS");
  const std::int64_t rounds = setting != nullptr ? std::atoi(setting) : 8;
  const certificate c = make_certificate("DNS:localhost");
  temp_dir dir;
  sim::options o;
  o.queued_for = std::chrono::hours(1);
  running_simulator sim(o);
  tls_peer front({&c, sim.port(), "", "127.0.0.1"});
  config settings = test_config(dir, url_of(front));
  settings.upstreams[0].ca_file = to_file(dir, c);
  settings.poll.interval = setting != nullptr ? milliseconds(3'000) : milliseconds(500);
  running_relay relay(settings);
  const client me = relay.as("me");
  const auto create = [&] {
    EXPECT_EQ(me.post("/dream-machine/v1/generations", R"({"prompt":"abc"})").status, 201);
  };
  for (int i = 0; i < 200; ++i) create();
  const auto polls = [&] {
    std::int64_t n = 0;
    for (const auto& p : sim.log().at("polls").as_object()) n += p.value().as_int64();
    return n;
  };
  const std::int64_t begun = polls();
  std::int64_t seen = begun;
  for (std::int64_t next = 100; seen < begun + 200 * rounds; seen = polls()) {
    if (seen < begun + next) continue;
    create();
    next += 100;
  }
  EXPECT_LE(front.handshakes(), 64) << "for " << seen << " polls";
}

TEST(connections, sessions_are_resumed_and_max_connections_holds_for_all) {
  const certificate c = make_certificate("DNS:localhost");
  temp_dir dir;
  running_simulator sim;
  tls_peer front({&c, sim.port(), "", "127.0.0.1"});
  config settings = test_config(dir, url_of(front));
  settings.upstreams[0].ca_file = to_file(dir, c);
  settings.upstreams[0].idle_timeout = milliseconds(0);  // none is kept
  settings.upstreams[0].max_connections = 2;
  running_relay relay(settings);
  const client me = relay.as("me");
  for (int i = 0; i < 10; ++i) {
    const response made = me.post("/dream-machine/v1/generations", R"({"prompt":"abc"})");
    const std::string id(text_of(made.json().as_object(), "id"));
    wait_for_state(me, "/dream-machine/v1/generations/" + id, "completed");
    const json::object shown = relay.admin("GET", "/upstreams").json().at("items").at(0).as_object();
    EXPECT_LE(shown.at("connections").as_int64(), 2);
  }
  EXPECT_GE(front.handshakes(), 30);
  EXPECT_GE(front.resumed(), front.handshakes() - 3);
}

// The first address of the name never responds, and each attempt may take a minute: a job does not wait for
// that.
TEST(connections, an_address_that_does_not_respond_is_passed_over) {
  temp_dir dir;
  running_simulator sim;
  // A host whose queue of connections is full drops what comes.
  asio::io_context loop;
  asio::ip::tcp::acceptor full(loop);
  full.open(asio::ip::tcp::v4());
  full.bind({asio::ip::make_address("127.0.0.2"), sim.port()});
  full.listen(0);
  std::vector<asio::ip::tcp::socket> fill;
  for (int i = 0; i < 4; ++i) {
    fill.emplace_back(loop);
    fill.back().async_connect(full.local_endpoint(), [](const boost::system::error_code&) {});
  }
  const name_server names([](const std::string& name, int) -> std::optional<std::vector<std::string>> {
    if (name != "upstream.test") return std::vector<std::string>{};
    return std::vector<std::string>{"127.0.0.2", "127.0.0.1"};
  });
  config settings = test_config(dir, "http://upstream.test:" + std::to_string(sim.port()));
  settings.dns.servers = {names.at()};
  settings.upstreams[0].connect_timeout = std::chrono::seconds(60);
  EXPECT_EQ(outcome(settings, sim), "completed");
}

TEST(connections, both_families_are_tried_in_turn_and_the_last_good_one_first) {
  const auto at = [](const char* a) { return asio::ip::tcp::endpoint(asio::ip::make_address(a), 443); };
  const std::vector found = {at("2001:db8::1"), at("2001:db8::2"), at("192.0.2.1"), at("192.0.2.2"),
                             at("192.0.2.3")};
  EXPECT_EQ(in_order_of_trial(found, {}), (std::vector{at("2001:db8::1"), at("192.0.2.1"), at("2001:db8::2"),
                                                       at("192.0.2.2"), at("192.0.2.3")}));
  EXPECT_EQ(
      in_order_of_trial(found, at("192.0.2.2")),
      (std::vector{at("192.0.2.2"), at("2001:db8::1"), at("192.0.2.1"), at("2001:db8::2"), at("192.0.2.3")}));
  EXPECT_TRUE(in_order_of_trial({}, {}).empty());
}

}  // namespace
}  // namespace relay::test
