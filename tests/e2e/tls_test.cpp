// Rule S5: an upstream's certificate is verified, its name too. Asio's default context accepts anything.

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <thread>

#include "tests/support/running.hpp"

namespace relay::test {
namespace {

struct certificate {
  std::string pem, key;
};

// Self-signed, for one DNS name or address.
certificate self_signed(const std::string& alt_name) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x = X509_new();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -60);
  X509_gmtime_adj(X509_getm_notAfter(x), 3600);
  X509_set_pubkey(x, key);
  X509_NAME* name = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1,
                             0);
  X509_set_issuer_name(x, name);
  X509V3_CTX ctx;
  X509V3_set_ctx_nodb(&ctx);
  X509V3_set_ctx(&ctx, x, x, nullptr, nullptr, 0);
  for (const auto& [nid, value] : {std::pair{NID_basic_constraints, std::string("critical,CA:TRUE")},
                                   std::pair{NID_subject_alt_name, alt_name}}) {
    X509_EXTENSION* e = X509V3_EXT_conf_nid(nullptr, &ctx, nid, value.c_str());
    X509_add_ext(x, e, -1);
    X509_EXTENSION_free(e);
  }
  X509_sign(x, key, EVP_sha256());
  const auto text = [](auto write) {
    BIO* b = BIO_new(BIO_s_mem());
    write(b);
    char* data = nullptr;
    const long size = BIO_get_mem_data(b, &data);
    std::string out(data, static_cast<std::size_t>(size));
    BIO_free(b);
    return out;
  };
  certificate out{text([&](BIO* b) { PEM_write_bio_X509(b, x); }), text([&](BIO* b) {
                    PEM_write_bio_PrivateKey(b, key, nullptr, nullptr, 0, nullptr, nullptr);
                  })};
  X509_free(x);
  EVP_PKEY_free(key);
  return out;
}

// A TLS front of the simulator: one connection at a time, each answered by asking the simulator in plain.
class tls_front {
 public:
  tls_front(const certificate& c, std::uint16_t to)
      : context_(asio::ssl::context::tls_server),
        acceptor_(loop_, {asio::ip::make_address("127.0.0.1"), 0}),
        to_(to) {
    context_.use_certificate_chain(asio::buffer(c.pem));
    context_.use_private_key(asio::buffer(c.key), asio::ssl::context::pem);
    port_ = acceptor_.local_endpoint().port();
    thread_ = std::thread([this] { run(); });
  }
  ~tls_front() {
    stopping_ = true;
    boost::system::error_code ec;
    asio::ip::tcp::socket wake(loop_);
    wake.connect({asio::ip::make_address("127.0.0.1"), port_}, ec);
    thread_.join();
  }
  std::uint16_t port() const { return port_; }
  int handshakes() const { return handshakes_; }

 private:
  void run() {
    for (;;) {
      boost::system::error_code ec;
      asio::ip::tcp::socket s(loop_);
      acceptor_.accept(s, ec);
      if (stopping_) return;
      asio::ssl::stream<asio::ip::tcp::socket> tls(std::move(s), context_);
      tls.handshake(asio::ssl::stream_base::server, ec);
      if (ec) continue;
      ++handshakes_;
      std::string in(16 * 1024, '\0');
      const std::size_t n = tls.read_some(asio::buffer(in), ec);  // the relay writes a request at once
      if (ec) continue;
      connection plain(to_);
      plain.send(in.substr(0, n));
      const response r = plain.receive();
      asio::write(tls,
                  asio::buffer("HTTP/1.1 " + std::to_string(r.status) +
                               " X\r\nConnection: close\r\nContent-Length: " + std::to_string(r.body.size()) +
                               "\r\n\r\n" + r.body),
                  ec);
      tls.shutdown(ec);
    }
  }

  asio::io_context loop_;
  asio::ssl::context context_;
  asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_ = 0;
  std::uint16_t to_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> handshakes_ = 0;
  std::thread thread_;
};

// What the create of a relay ends in whose upstream is `front`, called `host`, trusted through `ca`.
std::string outcome(const certificate& served, const certificate* trusted, const std::string& host) {
  temp_dir dir;
  running_simulator sim;
  tls_front front(served, sim.port());
  config settings = test_config(dir, "https://" + host + ":" + std::to_string(front.port()));
  settings.submit.deadline = milliseconds(1'000);
  if (trusted != nullptr) {
    const std::string file = dir.file("ca.pem");
    std::ofstream(file) << trusted->pem;
    settings.upstreams[0].ca_file = file;
  }
  running_relay relay(settings);
  const client c = relay.as("me");
  const auto id = std::string(
      text_of(c.post("/dream-machine/v1/generations", R"({"prompt":"abc"})").json().as_object(), "id"));
  const std::string path = "/dream-machine/v1/generations/" + id;
  for (;;) {
    const json::object o = c.get(path).json().as_object();
    const auto state = std::string(text_of(o, "state"));
    if (state == "completed" || state == "failed") {
      EXPECT_EQ(sim.created(), state == "completed" ? 1 : 0);
      return state;
    }
  }
}

TEST(tls, a_trusted_certificate_of_the_right_name) {
  const certificate c = self_signed("DNS:localhost");
  EXPECT_EQ(outcome(c, &c, "localhost"), "completed");
}

TEST(tls, an_address_can_be_certified_too) {
  const certificate c = self_signed("IP:127.0.0.1");
  EXPECT_EQ(outcome(c, &c, "127.0.0.1"), "completed");
}

TEST(tls, a_certificate_nobody_trusts_is_refused) {
  const certificate c = self_signed("DNS:localhost");
  EXPECT_EQ(outcome(c, nullptr, "localhost"), "failed");
}

TEST(tls, a_certificate_of_another_authority_is_refused) {
  const certificate c = self_signed("DNS:localhost");
  const certificate other = self_signed("DNS:localhost");
  EXPECT_EQ(outcome(c, &other, "localhost"), "failed");
}

TEST(tls, a_certificate_of_another_name_is_refused) {
  const certificate c = self_signed("DNS:elsewhere.example");
  EXPECT_EQ(outcome(c, &c, "localhost"), "failed");
}

}  // namespace
}  // namespace relay::test
