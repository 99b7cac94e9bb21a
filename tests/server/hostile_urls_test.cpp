// Callback addresses that lead where a client has no business (rule S4): each is refused when the job is
// created, or its name or address is when the callback is about to be sent.

#include <gtest/gtest.h>

#include "common/base/url.hpp"
#include "server/background/callback_addresses.hpp"
#include "tests/support/name_server.hpp"

namespace relay {
namespace {

// Not an address that a callback is ever sent to: 422, or kept as a word that is never called.
constexpr const char* refused[] = {
    // somebody else's name before the host
    "http://user@93.184.216.34/",
    "http://user:password@93.184.216.34/",
    "http://@93.184.216.34/",
    "http://:@93.184.216.34/",
    "http://93.184.216.34@127.0.0.1/",
    "http://example.com:80@127.0.0.1/",
    "http://127.0.0.1@93.184.216.34/",
    "https://a%40b@127.0.0.1/",
    // other schemes
    "javascript:alert(1)",
    "file:///etc/passwd",
    "file://localhost/etc/passwd",
    "ftp://10.0.0.1/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/stat",
    "ldap://127.0.0.1/",
    "sftp://127.0.0.1/",
    "tftp://127.0.0.1/x",
    "jar:http://127.0.0.1!/",
    "data:text/html,x",
    "ws://127.0.0.1/",
    "wss://127.0.0.1/",
    "unix:///run/docker.sock",
    "http+unix://%2Frun%2Fdocker.sock/x",
    "httpss://127.0.0.1/",
    // no host
    "http://",
    "https://",
    "http:///",
    "http:///etc/passwd",
    "http://:80/",
    "http://?x",
    "http://#x",
    "http:/127.0.0.1/",
    "http:127.0.0.1",
    "http:\\\\127.0.0.1\\",
    "//127.0.0.1/",
    "\\\\127.0.0.1\\",
    "://127.0.0.1/",
    // hosts that two readers read in two ways
    "http://93.184.216.34\\@127.0.0.1/",
    "http://93.184.216.34\\.127.0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://127%2e0%2e0%2e1/",
    "http://local%68ost/",
    "http://example.com%00.127.0.0.1/",
    "http://example.com%0d%0aX:y/",
    "http://exa mple.com/",
    "http://example.com\t/",
    "http://exam\nple.com/",
    "http://example.com/a b",
    "http://example.com/\r\nX-Injected: yes",
    "http://example.com/\x01",
    "http://example.com/\x7f",
    "http://\xe3\x80\x82/",
    "http://127\xe3\x80\x82"
    "0\xe3\x80\x82"
    "0\xe3\x80\x82"
    "1/",
    "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/",
    "http://loc\xc3\xa0lhost/",
    "http://a,b/",
    "http://a;b/",
    "http://a$b/",
    "http://a'b/",
    "http://(127.0.0.1)/",
    "http://a&b/",
    "http://*/",
    "http://!/",
    "http://a+b/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]x/",
    "http://[fe80::1%25eth0]/",
    "http://[v1.fe80::a]/",
    "http://[127.0.0.1]/",
    "http://[]/",
    "http://[::g]/",
    // ports
    "http://93.184.216.34:0/",
    "http://93.184.216.34:65536/",
    "http://93.184.216.34:99999/",
    "http://93.184.216.34:-1/",
    "http://93.184.216.34:80a/",
    "http://93.184.216.34:80:90/",
    "http://93.184.216.34:8 0/",
};

// An address by its form, and none that a callback may reach.
constexpr const char* forbidden[] = {
    // this host, in every way to write it
    "http://127.0.0.1/",
    "https://127.0.0.1:8443/x?y#z",
    "http://127.255.255.254/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0177.0.0.1/",
    "http://0x7f.0.0.1/",
    "http://0x7f000001/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0x0/",
    "http://localhost/",
    "http://LOCALHOST:9090/metrics",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    // the operator's network, and what answers inside a cloud
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://167772161/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://0xc0a80001/",
    "http://169.254.169.254/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://2852039166/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:10.0.0.1]/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    // addresses that carry another one
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a00:1::1]/",
    "http://[2001:0:1::1]/",
    // nobody's
    "http://192.0.0.1/",
    "http://192.0.2.1/",
    "http://198.51.100.7/",
    "http://203.0.113.9/",
    "http://198.18.0.1/",
    "http://198.19.255.255/",
    "http://224.0.0.1/",
    "http://239.255.255.250:1900/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
    "http://[100::1]/",
};

static_assert(std::size(refused) + std::size(forbidden) >= 120);

TEST(hostile_urls, are_no_address_of_a_callback) {
  for (const char* url : refused) EXPECT_FALSE(parse_web_address(url)) << url;
}

TEST(hostile_urls, lead_nowhere_inside) {
  asio::io_context loop;
  // Whatever is a name leads inside, too.
  const test::name_server server(
      [](const std::string&, int) { return std::vector<std::string>{"10.0.0.1"}; });
  resolver asked(loop, {{asio::ip::address_v4::loopback(), server.port()}});
  callback_addresses names(asked, false);
  for (const char* url : forbidden) {
    const auto address = parse_web_address(url);
    if (!address) continue;  // refused before that
    std::optional<callback_addresses::resolved> out;
    auto work = names.resolve(address->at.host, address->at.port, 1, std::chrono::seconds(20));
    asio::co_spawn(loop.get_executor(), std::move(work),
                   [&out](std::exception_ptr, callback_addresses::resolved r) { out = std::move(r); });
    loop.restart();
    while (!out) loop.run_one();
    EXPECT_TRUE(out->endpoints.empty()) << url;
    EXPECT_TRUE(out->forbidden || !out->problem.empty()) << url;
  }
}

// What is refused above is refused for what it is: others are taken.
TEST(hostile_urls, are_not_all_urls) {
  for (const char* url :
       {"http://93.184.216.34/", "https://example.com", "https://a-b.example.com:8443/x/y?z=1#f",
        "http://[2606:2800:220:1::1]:80/", "HTTPS://EXAMPLE.COM/", "http://xn--bcher-kva.example/"}) {
    const auto address = parse_web_address(url);
    EXPECT_TRUE(address) << url;
  }
  asio::io_context loop;
  resolver asked(loop, {});
  callback_addresses names(asked, false);
  std::optional<callback_addresses::resolved> out;
  auto work = names.resolve("93.184.216.34", 80, 1, std::chrono::seconds(20));
  asio::co_spawn(loop.get_executor(), std::move(work),
                 [&out](std::exception_ptr, callback_addresses::resolved r) { out = std::move(r); });
  while (!out) loop.run_one();
  EXPECT_EQ(out->endpoints.size(), 1u) << out->problem;
}

}  // namespace
}  // namespace relay
