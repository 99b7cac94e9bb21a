#include "tests/support/http_client.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <boost/asio/write.hpp>
#include <stdexcept>

namespace relay::test {
namespace asio = boost::asio;

json::value response::json() const {
  auto v = parse_lenient(body);
  if (!v) throw std::runtime_error("not JSON: " + body);
  return *v;
}

std::string response::header(const std::string& lower_name) const {
  const auto found = headers.find(lower_name);
  return found == headers.end() ? "" : found->second;
}

connection::connection(std::uint16_t port, const std::string& from) : socket_(loop_) {
  asio::ip::tcp::socket s(loop_, asio::ip::tcp::v4());
  if (from != "127.0.0.1") s.bind({asio::ip::make_address(from), 0});
  s.connect({asio::ip::make_address("127.0.0.1"), port});
  s.set_option(asio::ip::tcp::no_delay(true));
  socket_ = std::move(s);
  limit_reads();
}

connection::connection(const asio::local::stream_protocol::endpoint& at) : socket_(loop_) {
  asio::local::stream_protocol::socket s(loop_);
  s.connect(at);
  socket_ = std::move(s);
  limit_reads();
}

void connection::limit_reads() {
  const timeval limit{20, 0};
  ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

void connection::send(std::string_view bytes) {
  boost::system::error_code ec;  // the peer may have ended it: what it said is what the test looks at
  asio::write(socket_, asio::buffer(bytes.data(), bytes.size()), ec);
}

void connection::finish_sending() {
  boost::system::error_code ec;
  socket_.shutdown(asio::socket_base::shutdown_send, ec);
}

// Straight to the system: Asio would wait without the time limit.
std::size_t connection::read_some() {
  char bytes[16 * 1024];
  const auto n = ::recv(socket_.native_handle(), bytes, sizeof bytes, 0);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    throw std::runtime_error("no answer within 20 s; so far: " + buffer_);
  reset_ = n < 0;
  if (n <= 0) return 0;
  buffer_.append(bytes, static_cast<std::size_t>(n));
  return static_cast<std::size_t>(n);
}

response connection::receive(bool to_head) {
  std::size_t head_end = 0;
  while ((head_end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (read_some() == 0)
      throw std::runtime_error("the connection ended before an answer; so far: " + buffer_);
  }
  response out;
  const std::string head = buffer_.substr(0, head_end + 2);
  buffer_.erase(0, head_end + 4);
  out.status = std::stoi(head.substr(9, 3));
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const std::size_t end = head.find("\r\n", at);
    const std::string line = head.substr(at, end - at);
    const std::size_t colon = line.find(':');
    std::string name = line.substr(0, colon);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    out.headers[name] = line.substr(std::min(line.size(), colon + 2));
    at = end + 2;
  }
  // Event streams are left to receive_until().
  if (!to_head && out.header("transfer-encoding") == "chunked" &&
      out.header("content-type") == "application/json") {
    out.body = receive_chunks();
    return out;
  }
  const std::string length = out.header("content-length");
  const std::size_t want = to_head || length.empty() ? 0 : std::stoul(length);
  while (buffer_.size() < want) {
    if (read_some() == 0) throw std::runtime_error("the connection ended within a body");
  }
  out.body = buffer_.substr(0, want);
  buffer_.erase(0, want);
  return out;
}

std::string connection::receive_chunks() {
  std::string out;
  for (;;) {
    const std::string line = receive_until("\r\n");
    const std::size_t size = std::stoul(line, nullptr, 16);
    while (buffer_.size() < size + 2) {
      if (read_some() == 0) throw std::runtime_error("the connection ended within a chunk");
    }
    out.append(buffer_, 0, size);
    buffer_.erase(0, size + 2);
    if (size == 0) return out;
  }
}

std::string connection::receive_until(std::string_view text) {
  std::size_t at = 0;
  while ((at = buffer_.find(text)) == std::string::npos) {
    if (read_some() == 0) throw std::runtime_error("ended before \"" + std::string(text) + "\": " + buffer_);
  }
  std::string out = buffer_.substr(0, at + text.size());
  buffer_.erase(0, out.size());
  return out;
}

std::string connection::receive_all() {
  while (read_some() != 0) {
  }
  return std::move(buffer_);
}

bool connection::ended() {
  return buffer_.empty() && read_some() == 0;
}

response exchange_on(connection& c, const std::string& method, const std::string& target,
                     const std::string& body, const std::string& authorization,
                     const std::vector<std::string>& extra_headers) {
  std::string text = method + " " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
  if (!authorization.empty()) text += "Authorization: " + authorization + "\r\n";
  bool typed = false;
  for (const std::string& h : extra_headers) {
    text += h + "\r\n";
    typed = typed || h.starts_with("Content-Type:");
  }
  if (!body.empty() || method == "POST") {
    if (!typed) text += "Content-Type: application/json\r\n";
    text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  c.send(text + "\r\n" + body);
  return c.receive(method == "HEAD");
}

response client::request(const std::string& method, const std::string& target, const std::string& body,
                         const std::vector<std::string>& extra_headers) const {
  connection c(port_);
  return exchange_on(c, method, target, body, authorization_, extra_headers);
}

}  // namespace relay::test
