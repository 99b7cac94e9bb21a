#include "server/upstream/tls.hpp"

#include <openssl/ssl.h>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>

namespace relay {
namespace {

// Asio keeps its own things in the context's app data; ours have an index of their own.
int own_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

tls_client::tls_client(const std::string& ca_file, bool one_host)
    : context_(asio::ssl::context::tls_client), session_(nullptr, &SSL_SESSION_free) {
  SSL_CTX_set_min_proto_version(context_.native_handle(), TLS1_2_VERSION);
  context_.set_verify_mode(asio::ssl::verify_peer);
  if (ca_file.empty()) {
    context_.set_default_verify_paths();
  } else {
    context_.load_verify_file(ca_file);
  }
  if (!one_host) {
    SSL_CTX_set_session_cache_mode(context_.native_handle(), SSL_SESS_CACHE_OFF);
    return;
  }
  SSL_CTX_set_session_cache_mode(context_.native_handle(),
                                 SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_ex_data(context_.native_handle(), own_index(), this);
  SSL_CTX_sess_set_new_cb(context_.native_handle(), &tls_client::on_session);
}

tls_client::~tls_client() = default;

int tls_client::on_session(SSL* ssl, SSL_SESSION* session) {
  auto* self = static_cast<tls_client*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), own_index()));
  self->session_.reset(session);
  return 1;  // the session is ours now
}

template <class Stream>
void tls_client::set_up(Stream& s, const std::string& host) {
  boost::system::error_code is_name;
  asio::ip::make_address(host, is_name);
  if (is_name && SSL_set_tlsext_host_name(s.native_handle(), host.c_str()) != 1) {
    throw boost::system::system_error(asio::error::invalid_argument, "server name indication for " + host);
  }
  s.set_verify_callback(asio::ssl::host_name_verification(host));
  if (session_) SSL_set_session(s.native_handle(), session_.get());
}

std::unique_ptr<tls_client::stream> tls_client::make_stream(tcp_socket& socket, const std::string& host) {
  auto s = std::make_unique<stream>(socket, context_);
  set_up(*s, host);
  return s;
}

std::unique_ptr<tls_client::nested_stream> tls_client::make_stream(stream& outer, const std::string& host) {
  auto s = std::make_unique<nested_stream>(outer, context_);
  set_up(*s, host);
  return s;
}

}  // namespace relay
