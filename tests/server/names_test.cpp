// Names to addresses, with a name server that answers as told (rules F8, S4, T1).

#include <gtest/gtest.h>

#include <algorithm>

#include "server/background/callback_addresses.hpp"
#include "server/upstream/host_addresses.hpp"
#include "tests/support/name_server.hpp"

namespace relay {
namespace {

using test::name_server;
using addresses = std::vector<std::string>;

name_servers at(const name_server& s) {
  return {{asio::ip::address_v4::loopback(), s.port()}};
}

struct names : ::testing::Test {
  template <class T>
  T wait(awaitable<T> work) {
    std::optional<T> out;
    asio::co_spawn(loop_.get_executor(), std::move(work), [&out](const std::exception_ptr& e, T value) {
      if (e) std::rethrow_exception(e);
      out = std::move(value);
    });
    loop_.restart();
    while (!out) loop_.run_one();
    return std::move(*out);
  }
  resolver::found look_up(resolver& r, const std::string& host, std::optional<std::int64_t> owner = 1) {
    return wait(r.look_up(host, owner, std::chrono::seconds(20)));
  }
  addresses texts(const resolver::found& f) {
    addresses out;
    for (const auto& a : f.addresses) out.push_back(a.to_string());
    std::ranges::sort(out);
    return out;
  }

  asio::io_context loop_;
};

TEST_F(names, have_addresses_of_both_kinds) {
  name_server server([](const std::string& name, int) {
    return name == "both.test" ? addresses{"192.0.2.1", "2001:db8::1", "192.0.2.2"} : addresses{};
  });
  resolver r(loop_, at(server));
  EXPECT_EQ(texts(look_up(r, "both.test")), (addresses{"192.0.2.1", "192.0.2.2", "2001:db8::1"}));
  const resolver::found none = look_up(r, "none.test");
  EXPECT_TRUE(none.addresses.empty());
  EXPECT_TRUE(none.looked_up);
  EXPECT_NE(none.problem.find("not found"), std::string::npos) << none.problem;
  EXPECT_EQ(texts(look_up(r, "198.51.100.7")), addresses{"198.51.100.7"}) << "an address is no name";
  EXPECT_EQ(texts(look_up(r, "2001:db8::7")), addresses{"2001:db8::7"});
  EXPECT_FALSE(look_up(r, "localhost").addresses.empty()) << "from the hosts file";
  EXPECT_EQ(server.asked("localhost"), 0);
}

TEST_F(names, are_looked_up_once_for_all_and_kept) {
  name_server server([](const std::string&, int) { return addresses{"192.0.2.1"}; });
  resolver r(loop_, at(server));
  int done = 0;
  for (int i = 0; i < 20; ++i) {
    auto work = r.look_up("one.test", i, std::chrono::seconds(20));
    asio::co_spawn(loop_.get_executor(), std::move(work), [&](const std::exception_ptr&, resolver::found f) {
      EXPECT_EQ(texts(f), addresses{"192.0.2.1"});
      ++done;
    });
  }
  while (done < 20) loop_.run_one();
  look_up(r, "one.test");
  EXPECT_EQ(server.asked("one.test"), 1);
}

TEST_F(names, that_fail_are_looked_up_again) {
  name_server server([](const std::string&, int n) { return n == 1 ? addresses{} : addresses{"192.0.2.1"}; });
  resolver r(loop_, at(server));
  EXPECT_TRUE(look_up(r, "late.test").addresses.empty());
  EXPECT_EQ(texts(look_up(r, "late.test")), addresses{"192.0.2.1"});
}

TEST_F(names, have_a_deadline_and_are_given_up_without_waiters) {
  name_server server([](const std::string& name, int) -> std::optional<addresses> {
    if (name.starts_with("silent")) return std::nullopt;
    return addresses{"192.0.2.1"};
  });
  resolver r(loop_, at(server));
  const resolver::found f = wait(r.look_up("silent.test", 1, std::chrono::milliseconds(20)));
  EXPECT_TRUE(f.addresses.empty());
  EXPECT_TRUE(f.looked_up);
  EXPECT_NE(f.problem.find("in time"), std::string::npos) << f.problem;
  // The places of its owner are free again: more than there are, one after the other.
  for (std::size_t i = 0; i < 2 * resolver::most_of_one_owner; ++i)
    EXPECT_TRUE(wait(r.look_up("silent-" + std::to_string(i), 1, std::chrono::milliseconds(1))).looked_up);
  EXPECT_EQ(texts(look_up(r, "other.test")), addresses{"192.0.2.1"});
}

TEST_F(names, end_when_the_relay_stops) {
  name_server server([](const std::string&, int) -> std::optional<addresses> { return std::nullopt; });
  resolver r(loop_, at(server));
  std::optional<resolver::found> out;
  auto work = r.look_up("silent.test", 1, std::chrono::hours(1));
  asio::co_spawn(loop_.get_executor(), std::move(work),
                 [&](const std::exception_ptr&, resolver::found f) { out = std::move(f); });
  loop_.poll();
  server.wait_for("silent.test");
  r.abandon();
  while (!out) loop_.run_one();
  EXPECT_FALSE(out->looked_up);
  EXPECT_FALSE(look_up(r, "other.test").looked_up);
}

// A client with many silent names keeps neither other clients nor the relay's own names from theirs.
TEST_F(names, of_one_client_do_not_take_all_places) {
  name_server server([](const std::string& name, int) -> std::optional<addresses> {
    if (name.starts_with("silent")) return std::nullopt;
    return addresses{"192.0.2.1"};
  });
  resolver r(loop_, at(server));
  std::vector<std::optional<resolver::found>> many(resolver::most_of_one_owner + 3);
  for (std::size_t i = 0; i < many.size(); ++i) {
    auto work = r.look_up("silent-" + std::to_string(i) + ".test", 1, std::chrono::hours(1));
    asio::co_spawn(loop_.get_executor(), std::move(work),
                   [&many, i](const std::exception_ptr&, resolver::found f) { many[i] = std::move(f); });
  }
  EXPECT_EQ(texts(look_up(r, "other.test", 2)), addresses{"192.0.2.1"});
  const auto refused = [](const auto& f) { return f && !f->looked_up; };
  EXPECT_EQ(std::ranges::count_if(many, refused), 3);
  // All clients together leave room for the configuration's own.
  for (std::int64_t owner = 3; owner < 10; ++owner) {
    for (std::size_t i = 0; i < resolver::most_of_one_owner; ++i) {
      auto work = r.look_up("silent-" + std::to_string(owner) + "-" + std::to_string(i) + ".test", owner,
                            std::chrono::hours(1));
      asio::co_spawn(loop_.get_executor(), std::move(work), asio::detached);
    }
  }
  loop_.poll();
  EXPECT_FALSE(look_up(r, "third.test", 11).looked_up);
  EXPECT_EQ(texts(look_up(r, "upstream.test", std::nullopt)), addresses{"192.0.2.1"});
}

// Rule F8.
TEST_F(names, of_upstreams_are_used_on_while_they_are_known) {
  name_server server([](const std::string&, int) { return addresses{"192.0.2.1", "192.0.2.2"}; });
  resolver r(loop_, at(server));
  host_addresses host(loop_, r, "upstream.test", 443);
  const auto first = wait(host.get(std::chrono::seconds(20)));
  ASSERT_EQ(first.size(), 2u) << host.problem();
  EXPECT_EQ(first[0].port(), 443);
  r.abandon();  // nothing can be looked up any more
  EXPECT_EQ(wait(host.get(std::chrono::seconds(20))), first);
  host_addresses unknown(loop_, r, "unknown.test", 443);
  EXPECT_TRUE(wait(unknown.get(std::chrono::seconds(20))).empty());
  EXPECT_NE(unknown.problem(), "");
}

// ---- callbacks: what is checked is what is connected to (S4)

TEST_F(names, of_callbacks_lead_to_no_private_address_whatever_changes) {
  name_server server([](const std::string& name, int n) {
    if (name == "mixed.test") return addresses{"93.184.216.34", "127.0.0.1"};
    if (name == "mixed6.test") return addresses{"93.184.216.34", "fd00::1"};
    // Another answer to each question: the first time public, then not.
    if (name == "turns.test") return n == 1 ? addresses{"93.184.216.34"} : addresses{"169.254.169.254"};
    return addresses{"10.0.0.1"};
  });
  resolver r(loop_, at(server));
  callback_addresses callbacks(r, false);
  const auto resolve = [&](const std::string& host) {
    return wait(callbacks.resolve(host, 80, 1, std::chrono::seconds(20)));
  };
  for (const char* host : {"mixed.test", "mixed6.test", "inside.test"}) {
    const auto out = resolve(host);
    EXPECT_TRUE(out.forbidden) << host;
    EXPECT_TRUE(out.endpoints.empty()) << host;
  }
  // The endpoints are those that were checked: nothing asks again between the check and the connection.
  const auto out = resolve("turns.test");
  ASSERT_EQ(out.endpoints.size(), 1u);
  EXPECT_EQ(out.endpoints[0].address().to_string(), "93.184.216.34");
  EXPECT_EQ(server.asked("turns.test"), 1);
  // A relay that has not asked before meets the second answer.
  resolver another(loop_, at(server));
  callback_addresses later(another, false);
  const auto second = wait(later.resolve("turns.test", 80, 1, std::chrono::seconds(20)));
  EXPECT_TRUE(second.forbidden);
  EXPECT_TRUE(second.endpoints.empty());
}

}  // namespace
}  // namespace relay
