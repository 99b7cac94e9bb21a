#include "common/base/addresses.hpp"

#include <gtest/gtest.h>

namespace relay {
namespace {

TEST(addresses, sets) {
  const auto set = address_set::parse({"127.0.0.0/8", "::1", "10.1.2.0/23", "2001:db8::/33", "192.0.2.7"});
  ASSERT_TRUE(set);
  for (const char* in : {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "10.1.2.0", "10.1.3.255",
                         "2001:db8:7fff::1", "192.0.2.7"})
    EXPECT_TRUE(set->contains(*parse_ip(in))) << in;
  for (const char* out :
       {"128.0.0.1", "::2", "10.1.4.0", "10.1.1.255", "2001:db8:8000::1", "192.0.2.8", "0.0.0.0"})
    EXPECT_FALSE(set->contains(*parse_ip(out))) << out;
  EXPECT_TRUE(address_set::parse({"0.0.0.0/0"})->contains(*parse_ip("1.2.3.4")));
  EXPECT_FALSE(address_set::parse({"0.0.0.0/0"})->contains(*parse_ip("2001:db8::1")));
  EXPECT_FALSE(address_set{}.contains(*parse_ip("::1")));
  for (const char* bad :
       {"", "x", "1.2.3", "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/8x", "1.2.3.4:80"}) {
    const auto refused = address_set::parse({bad});
    ASSERT_FALSE(refused) << bad;
    EXPECT_NE(refused.error().message.text.find("\"" + std::string(bad) + "\""), std::string::npos);
  }
}

TEST(addresses, forwarded_for_is_the_last_that_is_no_proxy) {
  const auto trusted = address_set::parse({"10.0.0.0/8", "::1"});
  const struct {
    const char* field;
    const char* client;  // empty: none
  } table[] = {
      {"9.9.9.9", "9.9.9.9"},
      {"1.1.1.1, 9.9.9.9", "9.9.9.9"},
      {"1.1.1.1,9.9.9.9 ,10.0.0.1, 10.2.3.4", "9.9.9.9"},
      {"10.0.0.1,10.0.0.2", "10.0.0.1"},
      {"9.9.9.9:1234", "9.9.9.9"},
      {"[2001:db8::5]:1234, ::1", "2001:db8::5"},
      {"2001:db8::5", "2001:db8::5"},
      {"::ffff:9.9.9.9", "9.9.9.9"},
      {"unknown", ""},
      {"", ""},
      {"9.9.9.9,", ""},
      {"evil, 10.0.0.1", "10.0.0.1"},
  };
  for (const auto& row : table)
    EXPECT_EQ(forwarded_for(row.field, *trusted).value_or(""), row.client) << row.field;
}

}  // namespace
}  // namespace relay
