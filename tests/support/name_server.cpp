#include "tests/support/name_server.hpp"

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <stdexcept>

namespace relay::test {
namespace {

namespace asio = boost::asio;

constexpr int ipv4 = 1;   // A
constexpr int ipv6 = 28;  // AAAA

std::string number(unsigned n, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(n >> (8 * i)));
  return out;
}

}  // namespace

name_server::name_server(answer a) : answer_(std::move(a)), buffer_(1024, '\0') {
  socket_.open(asio::ip::udp::v4());
  socket_.bind({asio::ip::address_v4::loopback(), 0});
  port_ = socket_.local_endpoint().port();
  receive();
  thread_ = std::thread([this] { loop_.run(); });
}

name_server::~name_server() {
  loop_.stop();
  thread_.join();
}

int name_server::asked(const std::string& name) const {
  const std::scoped_lock lock(mutex_);
  const auto found = asked_.find(name);
  return found == asked_.end() ? 0 : found->second;
}

void name_server::wait_for(const std::string& name) const {
  std::unique_lock lock(mutex_);
  if (!came_.wait_for(lock, std::chrono::seconds(20), [&] { return asked_.contains(name); }))
    throw std::runtime_error("it was not asked for " + name);
}

void name_server::receive() {
  socket_.async_receive_from(asio::buffer(buffer_), from_,
                             [this](boost::system::error_code ec, std::size_t n) {
                               if (!ec && n > 12) {
                                 const std::string reply = respond(std::string_view(buffer_).substr(0, n));
                                 boost::system::error_code ignored;
                                 if (!reply.empty()) socket_.send_to(asio::buffer(reply), from_, 0, ignored);
                               }
                               if (ec != asio::error::operation_aborted) receive();
                             });
}

// Empty: none.
std::string name_server::respond(std::string_view question) {
  // The question: labels, type, class.
  std::string name;
  std::size_t at = 12;
  while (at < question.size() && question[at] != 0) {
    const auto length = static_cast<unsigned char>(question[at]);
    name.append(name.empty() ? "" : ".").append(question.substr(at + 1, length));
    at += length + 1U;
  }
  if (at + 5 > question.size()) return {};
  const int type = static_cast<unsigned char>(question[at + 2]);
  int n = 0;
  {
    const std::scoped_lock lock(mutex_);
    n = ++(type == ipv6 ? asked_v6_ : asked_)[name];
  }
  came_.notify_all();
  const auto addresses = answer_(name, n);
  if (!addresses) return {};
  // The records of the type that was asked for.
  std::string records;
  unsigned count = 0;
  for (const std::string& text : *addresses) {
    const auto a = asio::ip::make_address(text);
    if (a.is_v4() != (type == ipv4)) continue;
    records += number(0xc00c, 2) + number(static_cast<unsigned>(type), 2) + number(1, 2) + number(5, 4);
    records += number(a.is_v4() ? 4 : 16, 2);
    if (a.is_v4()) {
      for (const unsigned char byte : a.to_v4().to_bytes()) records.push_back(static_cast<char>(byte));
    } else {
      for (const unsigned char byte : a.to_v6().to_bytes()) records.push_back(static_cast<char>(byte));
    }
    ++count;
  }
  const unsigned no_such_name = addresses->empty() ? 3 : 0;
  return std::string(question.substr(0, 2)) + number(0x8180 | no_such_name, 2) + number(1, 2) +
         number(count, 2) + number(0, 4) + std::string(question.substr(12, at + 5 - 12)) + records;
}

}  // namespace relay::test
